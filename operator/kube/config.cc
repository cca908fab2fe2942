#include "operator/kube/config.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <utility>

#include "operator/kube/credentials.h"
#include "operator/kube/kubeconfig.h"
#include "operator/kube/proxy.h"
#include "operator/kube/url.h"

namespace sandboxrun::kube {
namespace {

constexpr std::string_view kServiceAccount = "/var/run/secrets/kubernetes.io/serviceaccount";

Result<Config> with_proxy(Config config, const Environment& environment) {
  if (config.proxy) return config;
  auto proxy = proxy_from_environment(config.endpoint, environment);
  if (!proxy) return std::unexpected(proxy.error());
  config.proxy = std::move(*proxy);
  return config;
}

bool exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

/// The files of a list as in KUBECONFIG. As kubectl, those that do not exist are passed over.
Result<Config> from_files(const std::vector<std::string>& paths, const std::string& said_where,
                          const ConfigOptions& options, const Environment& environment) {
  std::vector<KubeconfigFile> files;
  for (const auto& path : paths) {
    if (path.empty() || !exists(path)) continue;
    const auto absolute = std::filesystem::absolute(path).string();
    auto content = read_small_file(absolute);
    if (!content) return std::unexpected(content.error());
    files.push_back({absolute, std::string(content->reveal())});
  }
  if (files.empty()) {
    return failure(ErrorKind::NoCredentials, said_where + " names no file that exists");
  }
  auto config = resolve_kubeconfig(files, options.context);
  if (!config) return config;
  return with_proxy(std::move(*config), environment);
}

std::vector<std::string> split_paths(std::string_view list) {
  std::vector<std::string> paths;
  while (!list.empty()) {
    const auto colon = list.find(':');
    paths.emplace_back(list.substr(0, colon));
    list.remove_prefix(colon == std::string_view::npos ? list.size() : colon + 1);
  }
  return paths;
}

}  // namespace

Environment process_environment() {
  return [](std::string_view name) -> std::optional<std::string> {
    const char* value = std::getenv(std::string(name).c_str());
    if (value == nullptr) return std::nullopt;
    return value;
  };
}

Result<Config> in_cluster_config(const Environment& environment,
                                 std::string_view service_account_folder) {
  const std::string host = environment("KUBERNETES_SERVICE_HOST").value_or("");
  const std::string port = environment("KUBERNETES_SERVICE_PORT").value_or("443");
  const std::string folder(service_account_folder);
  const auto url =
      parse_url("https://" + (host.contains(':') ? "[" + host + "]" : host) + ":" + port);
  if (host.empty() || !url || !url->path.empty() || !url->username.empty()) {
    return failure(ErrorKind::NoCredentials,
                   "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT do not name an API server; "
                   "in a pod the kubelet sets them");
  }
  Config config;
  config.source = "in-cluster";
  config.endpoint.host = url->host;
  config.endpoint.port = url->port.value_or(443);
  config.certificate_authority.file = folder + "/ca.crt";
  config.credentials = TokenFile{folder + "/token"};
  if (!exists(folder + "/token") || !exists(folder + "/ca.crt")) {
    return failure(ErrorKind::NoCredentials,
                   folder +
                       " has no token and ca.crt; the pod needs a service account with "
                       "automountServiceAccountToken: true");
  }
  if (auto name = read_small_file(folder + "/namespace", 1024); name && !name->empty()) {
    config.default_namespace = name->reveal();
    while (config.default_namespace.ends_with('\n')) config.default_namespace.pop_back();
  }
  return with_proxy(std::move(config), environment);
}

Result<Config> load_config(const ConfigOptions& options, const Environment& environment) {
  if (!options.kubeconfig.empty()) {
    return from_files({options.kubeconfig}, "the kubeconfig " + options.kubeconfig, options,
                      environment);
  }
  if (const auto list = environment("KUBECONFIG"); list && !list->empty()) {
    return from_files(split_paths(*list), "KUBECONFIG", options, environment);
  }
  if (environment("KUBERNETES_SERVICE_HOST") && exists(std::string(kServiceAccount) + "/token")) {
    return in_cluster_config(environment, kServiceAccount);
  }
  const std::string home = environment("HOME").value_or("");
  if (home.empty() || !exists(home + "/.kube/config")) {
    return failure(ErrorKind::NoCredentials,
                   "there is no cluster configuration: no kubeconfig is given, KUBECONFIG is not "
                   "set, this is no pod with a service account, and there is no ~/.kube/config");
  }
  return from_files({home + "/.kube/config"}, "~/.kube/config", options, environment);
}

}  // namespace sandboxrun::kube
