#pragma once

#include <string>
#include <vector>

#include "operator/run/field_error.h"
#include "operator/run/spec.h"

namespace sandboxrun::run {

/// Who is going to run it. `file` sources exist only locally, scheduling only in a cluster.
enum class Where { Cluster, Local };

/// What the administrator allows; every default is the strict one.
struct Policy {
  std::vector<std::string> runtime_classes;
  std::vector<std::string> node_selector_keys = {"kubernetes.io/arch", "kubernetes.io/os",
                                                 "topology.kubernetes.io/zone",
                                                 "node.kubernetes.io/instance-type"};
  std::vector<Toleration> tolerations;  ///< compared as a whole
  std::vector<std::string> priority_classes;
  /// Node, pod and service ranges: an egress rule may not lie inside one.
  std::vector<std::string> cluster_cidrs;
  bool allow_http = false;   ///< http:// URLs and endpoints
  bool allow_egress = true;  ///< network.mode Egress
};

/// Every rule that `run` breaks, in the order of the fields; empty if it may run. The marks are
/// unset: locate() finds them in the document. Pure.
std::vector<FieldError> validate(const SandboxRun& run, const Policy& policy, Where where);

}  // namespace sandboxrun::run
