#pragma once

#include <optional>
#include <stop_token>
#include <string>

#include "operator/control/cluster.h"
#include "operator/control/reconciler.h"
#include "operator/run/plan.h"

// What one reconcile knows. Not for others.
namespace sandboxrun::control {

struct Reconciler::World {
  kube::ObjectName key;
  const ScopedLog& log;
  std::shared_ptr<const FoundRun> cached;
  Cluster cluster;

  run::Plan plan;
  run::Wishes wishes;
  run::Status status;   ///< as it is written
  std::string version;  ///< of the run, for the next write

  Isolation isolation;
  std::uint64_t policies_seen = 0;
  run::AttemptFacts facts;
  bool policies_applied = true;
  std::optional<Milliseconds> look_again;

  /// What was seen at its source during this reconcile; it counts more than the cache.
  std::optional<run::AttemptFacts> live;
  std::string pod_version;  ///< empty: it is not there
  std::vector<std::string> other_gates;
  bool compared = false;  ///< the pod is what was rendered, as of pod_version

  const run::Metadata& meta() const { return cached->value->run.metadata; }
  kube::ObjectName pod_key() const { return {key.namespace_name, facts.name}; }
};

}  // namespace sandboxrun::control
