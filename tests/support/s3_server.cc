#include "tests/support/s3_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <thread>

#include "operator/base/document.h"

namespace sandboxrun::test {
namespace {

constexpr const char* kAccess = "testaccess";
constexpr const char* kSecret = "testsecretkey";
constexpr int kStartTries = 200;
constexpr std::chrono::milliseconds kStartWait{50};

std::string program() {
  const char* cache = std::getenv("SANDBOXRUN_CACHE");
  const char* home = std::getenv("HOME");
  const std::string base =
      cache != nullptr ? cache : std::string(home == nullptr ? "" : home) + "/.cache/sandboxrun";
  const std::string path = base + "/tools/bin/versitygw";
  if (::access(path.c_str(), X_OK) != 0) {
    throw std::runtime_error("there is no S3 server at " + path +
                             "; run: tests/tools/build.sh versitygw");
  }
  return path;
}

sockaddr_in socket_address(const std::string& host, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  ::inet_pton(AF_INET, host.c_str(), &address.sin_addr);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

int free_port(const std::string& host) {
  const UniqueFd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = socket_address(host, 0);
  socklen_t size = sizeof(address);
  if (::bind(probe.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::getsockname(probe.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("no free port on " + host);
  }
  return ntohs(address.sin_port);
}

bool answers(const std::string& host, int port) {
  const UniqueFd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = socket_address(host, port);
  return ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

}  // namespace

S3Server::S3Server(const std::string& address) {
  start(address, {});
  endpoint_ = "http://" + address + ":" + std::to_string(port_);
  request("PUT", "/inputs", "", "status");
  request("PUT", "/versions", "", "status");
  request("PUT", "/versions?versioning=",
          "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
          "<Status>Enabled</Status></VersioningConfiguration>",
          "status");
}

S3Server::S3Server(const CertificateAuthority& authority) {
  const auto pair = authority.issue("IP:127.0.0.1");
  std::filesystem::create_directories(dir_ / "data/inputs");
  start("127.0.0.1", {"--cert", pair.certificate, "--key", pair.key});
  endpoint_ = "https://127.0.0.1:" + std::to_string(port_);
}

void S3Server::start(const std::string& address, const std::vector<std::string>& more) {
  for (const char* name : {"data", "versions", "credentials"}) {
    std::filesystem::create_directories(dir_ / name);
  }
  write_file(credentials_dir() + "/AWS_ACCESS_KEY_ID", std::string(kAccess) + "\n");
  write_file(credentials_dir() + "/AWS_SECRET_ACCESS_KEY", kSecret);
  port_ = free_port(address);
  std::vector<std::string> argv = {program(),
                                   "--access",
                                   kAccess,
                                   "--secret",
                                   kSecret,
                                   "--port",
                                   address + ":" + std::to_string(port_),
                                   "--virtual-domain",
                                   "localhost:" + std::to_string(port_)};
  argv.insert(argv.end(), more.begin(), more.end());
  argv.insert(argv.end(), {"posix", "--versioning-dir", dir_ / "versions", dir_ / "data"});
  process_ = std::make_unique<ChildProcess>(argv, dir_ / "log");
  for (int i = 0; i < kStartTries && process_->is_running(); ++i) {
    if (answers(address, port_)) return;
    std::this_thread::sleep_for(kStartWait);
  }
  throw std::runtime_error("versitygw did not start: " + read_file(dir_ / "log"));
}

std::string S3Server::request(const std::string& method, const std::string& path_and_query,
                              const std::string& body, const std::string& field) {
  write_file(dir_ / "body", body);
  const std::string answer =
      run_program({"/usr/bin/env", std::string("AWS_ACCESS_KEY_ID=") + kAccess,
                   std::string("AWS_SECRET_ACCESS_KEY=") + kSecret, "/usr/bin/python3",
                   SANDBOXRUN_SOURCE_DIR "/tests/support/s3_request.py", method,
                   endpoint_ + path_and_query, dir_ / "body"});
  auto node = parse_json(answer);
  if (!node) throw std::runtime_error("s3_request.py: " + node.error().message);
  return node->find(field)->text;
}

std::string S3Server::put(const std::string& bucket, const std::string& key,
                          const std::string& content) {
  return request("PUT", "/" + bucket + "/" + key, content, "version");
}

std::string S3Server::get(const std::string& bucket, const std::string& key) {
  return request("GET", "/" + bucket + "/" + key, "", "body");
}

}  // namespace sandboxrun::test
