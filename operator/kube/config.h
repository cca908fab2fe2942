#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "operator/base/secret.h"
#include "operator/kube/error.h"

namespace sandboxrun::kube {

/// Where the API server is. `host` is without brackets, also for IPv6.
struct Endpoint {
  bool tls = true;
  std::string host;
  std::uint16_t port = 443;
  std::string path_prefix;  ///< "" or "/k8s/clusters/c-1": put before each request's path

  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

/// PEM text, or the file that has it; a file is read again when it changes.
struct PemSource {
  std::string file;
  Secret data;

  bool empty() const { return file.empty() && data.empty(); }
};

/// A token as it is.
struct StaticToken {
  Secret token;
};
/// A token that somebody renews: read again when the last read is older than 50 s, and on a 401.
struct TokenFile {
  std::string path;
};
struct BasicAuth {
  std::string username;
  Secret password;
};
/// A program that prints an ExecCredential (client.authentication.k8s.io/v1 or v1beta1).
struct ExecPlugin {
  std::string api_version;
  std::string command;  ///< a path (relative to the kubeconfig's folder) or a name to find in PATH
  std::vector<std::string> args;
  std::vector<std::pair<std::string, std::string>> env;  ///< added to our own
  bool provide_cluster_info = false;
  std::string install_hint;
};

using Credentials = std::variant<std::monostate, StaticToken, TokenFile, BasicAuth, ExecPlugin>;

/// An HTTP proxy that is asked to CONNECT.
struct Proxy {
  std::string host;
  std::uint16_t port = 0;
  std::string username;
  Secret password;
};

/// Everything needed to talk to one API server.
/// Guarantees: only a kubeconfig that says insecure-skip-tls-verify sets `skip_verify`.
/// Caveats: files are named, not read: they may be renewed while we run.
struct Config {
  Endpoint endpoint;
  std::string tls_server_name;      ///< the name to verify and to send as SNI; empty: endpoint.host
  PemSource certificate_authority;  ///< empty: the system's roots
  bool skip_verify = false;
  PemSource client_certificate;
  PemSource client_key;
  Credentials credentials;
  std::vector<std::pair<std::string, std::string>> impersonate;  ///< Impersonate-* headers
  std::optional<Proxy> proxy;
  std::string default_namespace = "default";
  std::string source;  ///< for messages: "in-cluster" or the kubeconfig's path and context
};

/// A variable of the environment, or nothing.
using Environment = std::function<std::optional<std::string>(std::string_view name)>;

/// The process's own environment. Assumes that nobody changes it meanwhile.
Environment process_environment();

/// What to load.
struct ConfigOptions {
  std::string
      kubeconfig;  ///< a path; empty: the KUBECONFIG list, then in-cluster, then ~/.kube/config
  std::string context;  ///< empty: current-context
};

/// Resolves the configuration: an explicit kubeconfig; else KUBECONFIG; else in-cluster, if the
/// pod's service account is there; else $HOME/.kube/config. HTTPS_PROXY, HTTP_PROXY and NO_PROXY
/// are honoured here. Errors (NoCredentials or Invalid) name the file, the field and what to do.
Result<Config> load_config(const ConfigOptions& options, const Environment& environment);

/// The configuration of a pod: KUBERNETES_SERVICE_HOST and _PORT, and the token, CA and namespace
/// below `service_account_folder`.
Result<Config> in_cluster_config(
    const Environment& environment,
    std::string_view service_account_folder = "/var/run/secrets/kubernetes.io/serviceaccount");

}  // namespace sandboxrun::kube
