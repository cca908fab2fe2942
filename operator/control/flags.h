#pragma once

#include <optional>
#include <string>
#include <vector>

#include "operator/base/error.h"
#include "operator/base/log.h"
#include "operator/control/isolation.h"
#include "operator/kube/config.h"
#include "operator/pod/options.h"
#include "operator/run/observation.h"
#include "operator/run/validate.h"

namespace sandboxrun::control {

/// Everything that the operator is told when it is started: docs/reference/operator.md.
struct OperatorOptions {
  pod::PodOptions pods;
  run::Policy policy;
  run::Isolation isolation = run::Isolation::Unknown;
  std::optional<IsolationProbeOptions> probe;  ///< nothing: nobody probes

  std::vector<std::string> watch_namespaces;  ///< empty: the whole cluster
  bool leader_elect = false;
  std::string leader_election_namespace;
  int max_concurrent_reconciles = 16;

  std::string metrics_address = ":8080";  ///< "0": none
  std::string probe_address = ":8081";    ///< "0": none
  LogLevel log_level = LogLevel::Info;
  LogFormat log_format = LogFormat::Json;
  std::string kubeconfig;  ///< empty: see kube::load_config
  std::string instance;    ///< this process, for Events: its pod's name or the host's
};

/// What the command line asks for: to run, or just to print something and end.
struct CommandLine {
  OperatorOptions options;
  std::string print;  ///< help or version, if not empty
};

/// Reads flags (without the program's name). Variables read: POD_NAME, POD_NAMESPACE,
/// POD_UID, POD_IP.
/// Errors: InvalidInput, with all that is wrong, a line each.
Result<CommandLine> read_flags(std::vector<std::string> arguments,
                               const kube::Environment& environment);

}  // namespace sandboxrun::control
