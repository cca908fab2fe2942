#pragma once

#include <chrono>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "operator/base/time.h"
#include "operator/kube/config.h"

namespace sandboxrun::kube {

/// What an exec plugin gave.
struct ExecCredential {
  Secret token;
  Secret certificate_pem;
  Secret key_pem;
  std::optional<TimePoint> expires;
};

/// Runs the plugin: its argv as it is (no shell), standard input empty, its messages to our
/// standard error, KUBERNETES_EXEC_INFO in its environment, none of our descriptors. It is killed
/// with its process group after `timeout` or on stop.
/// Caveats: there is no terminal, so `interactive` is always false; the cluster's `extensions` are
/// not passed on; a plugin that writes its secret to standard error puts it into our log.
/// Errors: NoCredentials, naming the command and what went wrong (never what it printed);
/// Cancelled.
Result<ExecCredential> run_exec_plugin(const ExecPlugin& plugin, const Config& config,
                                       std::chrono::milliseconds timeout, std::stop_token stop);

/// Reads an ExecCredential of `api_version`.
Result<ExecCredential> parse_exec_credential(std::string_view json, std::string_view api_version);

/// The value of KUBERNETES_EXEC_INFO.
std::string exec_info(const ExecPlugin& plugin, const Config& config);

}  // namespace sandboxrun::kube
