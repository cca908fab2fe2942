#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "operator/base/log.h"
#include "operator/control/views.h"
#include "operator/kube/reflector.h"

namespace sandboxrun::control {

inline const kube::Resource kRuns{"sandboxrun.dev", "v1alpha1", "sandboxruns"};
inline const kube::Resource kPods{"", "v1", "pods"};
inline const kube::Resource kPolicies{"networking.k8s.io", "v1", "networkpolicies"};

struct CacheOptions {
  std::vector<std::string> namespaces;  ///< empty: the whole cluster
  run::Policy policy;
  kube::ReflectorOptions reflector;  ///< name, resource and selection are filled in
};

/// A run as it was found in the cache.
struct FoundRun {
  kube::ObjectMeta meta;
  std::shared_ptr<const RunView> value;  ///< empty if it could not be read
};

/// What the API server has of runs, and of pods and NetworkPolicies with our label, in the watched
/// namespaces.
/// Guarantees: thread safe once started; `on_change` gets the key of the run that an event is
/// about, after the caches have changed; it may not block. A policy that goes or is changed
/// concerns each run of its namespace that has not ended. Of runs that have ended, and of their
/// pods that are over, a few hundred bytes are kept, and never more while they are listed.
/// Assumptions: transport, clock, metrics and log outlive it.
class Caches {
 public:
  using PolicyObject = kube::Store<PolicyView>::Object;
  using OnChange = std::function<void(const kube::ObjectName& run, bool initial)>;

  Caches(CacheOptions options, kube::Transport& transport, kube::Clock& clock,
         kube::Metrics& metrics, const Log& log);

  /// `on_problem`, if set, is told what keeps a cache from following the server.
  void start(OnChange on_change, std::function<void(const kube::Error&)> on_problem);
  void stop();
  /// Every object that there was at the start is in.
  bool is_synced() const;

  /// Nothing if there is none.
  std::shared_ptr<const FoundRun> find_run(const kube::ObjectName& name) const;
  /// Nothing if there is none, it cannot be read, or it is over and so is its run.
  CachedPod find_pod(const kube::ObjectName& name) const;
  std::uint64_t seen_runs(const std::string& namespace_name) const;
  std::uint64_t seen_pods(const std::string& namespace_name) const;
  std::size_t count_runs() const;
  /// Those that can be read and have not ended.
  std::vector<FoundRun> active_runs() const;

  PolicyObject find_policy(const kube::ObjectName& name) const;
  std::uint64_t seen_policies(const std::string& namespace_name) const;
  std::vector<PolicyObject> policies() const;

  /// A deleted pod as it was last seen, unless its run has ended. Kept for the latest kMaxBuried.
  CachedPod buried(std::string_view pod_uid) const;

  static constexpr std::size_t kMaxBuried = 512;

 private:
  struct Scope {
    kube::Reflector<CachedRun> runs;
    kube::Reflector<CachedPod> pods;
    kube::Reflector<PolicyView> policies;

    // Each thread looks into the other's store.
    ~Scope() { runs.stop_and_wait(); }
  };

  const Scope* scope(const std::string& namespace_name) const;
  bool is_spent(const kube::ObjectName& name, const pod::PodView& pod) const;
  void spend(Scope& scope, const kube::ObjectName& pod);
  void run_changed(Scope& scope, const kube::StoreEvent<CachedRun>& event);
  void pod_changed(Scope& scope, const kube::StoreEvent<CachedPod>& event);
  void bury(const CachedPod& pod);
  void policy_changed(const Scope& scope, const kube::StoreEvent<PolicyView>& event);

  const Log& log_;
  OnChange on_change_;
  mutable std::mutex mutex_;
  std::map<std::string, CachedPod, std::less<>> buried_;  // by uid
  std::vector<std::string> burials_;                      // uids, a ring
  std::size_t next_burial_ = 0;
  std::map<std::string, std::unique_ptr<Scope>> scopes_;  // last: their threads use the above
};

}  // namespace sandboxrun::control
