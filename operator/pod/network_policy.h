#pragma once

#include <string>
#include <vector>

#include "operator/pod/options.h"
#include "operator/run/plan.h"

namespace sandboxrun::pod {

/// One NetworkPolicy for server-side apply.
struct NetworkPolicy {
  std::string name;
  std::string json;
};

/// The value of the label kNetworkLabel: "none", "transfer", or "egress-<hash of the rules>".
std::string network_class(const run::Plan& plan);

/// The policies that must exist in the run's namespace before its pod is created: one that denies
/// everything to and from each run, and the one of the run's class, if that lets something out.
/// Guarantees: no ingress, ever; ranges of the cluster, link-local, loopback and metadata addresses
/// are excluded from every rule, but where the administrator's own transfer list names them.
/// Runs with the same egress rules share one policy; a name stands for one content as long as the
/// options stay the same.
std::vector<NetworkPolicy> policies_for(const run::Plan& plan, const PodOptions& options);

}  // namespace sandboxrun::pod
