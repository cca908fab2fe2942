#include "tests/support/transfer_servers.h"

#include <algorithm>
#include <sstream>
#include <vector>

namespace sandboxrun::test {

TransferServers::TransferServers(const ServedNamespace& space, const std::string& script)
    : https_(authority_, script, HttpsServer::Certificate::Good, Cluster::kNodeAddress),
      s3_(Cluster::kNodeAddress) {
  space.output({"create", "configmap", "authority", "--from-file=ca.crt=" + authority_.file()});
  const std::string folder = s3_.credentials_dir();
  space.make_secret("s3",
                    {{"AWS_ACCESS_KEY_ID", read_file(folder + "/AWS_ACCESS_KEY_ID")},
                     {"AWS_SECRET_ACCESS_KEY", read_file(folder + "/AWS_SECRET_ACCESS_KEY")}});
}

std::string TransferServers::by_url(const std::string& path) const {
  return "https: {url: \"" + https_.url(path) + "\", caConfigMapRef: {name: authority}}";
}

std::string TransferServers::by_secret(const std::string& key) {
  return "https: {urlFrom: {secretKeyRef: {name: urls, key: " + key +
         "}}, caConfigMapRef: {name: authority}}";
}

std::string TransferServers::object(const std::string& key) const {
  return "s3: {endpoint: \"" + s3_.endpoint() +
         "\", region: us-east-1, bucket: inputs, key: " + key +
         ", credentialsSecretRef: {name: s3}}";
}

std::string file_in(const std::string& archive, const std::string& name) {
  return run_program({"/bin/tar", "--extract", "--gzip", "--to-stdout", "--file", archive, name});
}

std::string names_in(const std::string& archive) {
  std::istringstream listed(run_program({"/bin/tar", "--list", "--gzip", "--file", archive}));
  std::vector<std::string> names;
  for (std::string name; std::getline(listed, name);) names.push_back(name);
  std::ranges::sort(names);
  std::string out;
  for (const std::string& name : names) out += name + "\n";
  return out;
}

std::string digest_of_file(const std::string& path) {
  return "sha256:" + run_program({"/usr/bin/sha256sum", path}).substr(0, 64);
}

}  // namespace sandboxrun::test
