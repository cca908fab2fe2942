#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "operator/base/log.h"
#include "operator/control/caches.h"
#include "operator/control/cluster.h"
#include "operator/pod/options.h"
#include "operator/run/plan.h"

namespace sandboxrun::control {

/// Keeps the NetworkPolicies of runs as they were rendered: docs/reference/pod.md.
/// Guarantees: thread safe; asks the API server only to write; what the cache has not yet seen of
/// its own writes is remembered.
/// Assumptions: the caches outlive it.
class PolicyKeeper {
 public:
  PolicyKeeper(pod::PodOptions options, const Caches& caches);

  /// Whether each policy that the run needs exists, with the rules that were rendered.
  bool are_in_place(const run::Plan& plan);
  /// Applies those that are missing or differ. Errors: the call that failed; Conflict, if the API
  /// server stored other rules than it was sent.
  kube::Result<void> apply(const run::Plan& plan, Cluster& cluster, const ScopedLog& log);

  /// Deletes policies of egress rules that no run has needed, now and when this was last called:
  /// one that is deleted under a run that has just come is applied again when its deletion is seen,
  /// and until then the run reaches nothing.
  void sweep(Cluster& cluster, const Log& log);

 private:
  struct Wanted {
    std::string name;
    std::string rules;
  };
  struct Written {
    std::string rules;
    std::uint64_t version = 0;
  };
  using Key = kube::ObjectName;

  std::vector<Wanted> wanted(const run::Plan& plan);
  bool is_in_place(const Key& key, const std::string& rules);
  std::set<Key> needed_by_runs() const;

  const pod::PodOptions options_;
  const Caches& caches_;
  std::mutex mutex_;
  std::map<std::string, std::vector<Wanted>> classes_;  // by network_class
  std::map<Key, Written> written_;                      // until the cache has seen it
  std::set<Key> unused_;                                // at the last sweep
};

}  // namespace sandboxrun::control
