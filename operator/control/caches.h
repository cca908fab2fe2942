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

/// What the API server has of runs, and of pods and NetworkPolicies with our label, in the watched
/// namespaces.
/// Guarantees: thread safe once started; `on_change` gets the key of the run that an event is
/// about, after the caches have changed; it may not block. A policy that goes or is changed
/// concerns each run of its namespace that has not ended. Assumptions: transport, clock, metrics
/// and log outlive it.
class Caches {
 public:
  using RunObject = kube::Store<RunView>::Object;
  using PodObject = kube::Store<pod::PodView>::Object;
  using PolicyObject = kube::Store<PolicyView>::Object;
  using OnChange = std::function<void(const kube::ObjectName& run, bool initial)>;

  Caches(CacheOptions options, kube::Transport& transport, kube::Clock& clock,
         kube::Metrics& metrics, const Log& log);

  /// `on_problem`, if set, is told what keeps a cache from following the server.
  void start(OnChange on_change, std::function<void(const kube::Error&)> on_problem);
  void stop();
  /// Every object that there was at the start is in.
  bool is_synced() const;

  RunObject find_run(const kube::ObjectName& name) const;
  PodObject find_pod(const kube::ObjectName& name) const;
  std::uint64_t seen_runs(const std::string& namespace_name) const;
  std::uint64_t seen_pods(const std::string& namespace_name) const;
  std::vector<RunObject> runs() const;

  PolicyObject find_policy(const kube::ObjectName& name) const;
  std::uint64_t seen_policies(const std::string& namespace_name) const;
  std::vector<PolicyObject> policies() const;

  /// A deleted pod as it was last seen. Kept for the latest kMaxBuried pods.
  std::optional<pod::PodView> buried(std::string_view pod_uid) const;

  static constexpr std::size_t kMaxBuried = 512;

 private:
  struct Scope {
    kube::Reflector<RunView> runs;
    kube::Reflector<pod::PodView> pods;
    kube::Reflector<PolicyView> policies;
  };

  const Scope* scope(const std::string& namespace_name) const;
  void pod_changed(const kube::StoreEvent<pod::PodView>& event);
  void policy_changed(const Scope& scope, const kube::StoreEvent<PolicyView>& event);

  const Log& log_;
  OnChange on_change_;
  mutable std::mutex mutex_;
  std::map<std::string, pod::PodView, std::less<>> buried_;  // by uid
  std::vector<std::string> burials_;                         // uids, a ring
  std::size_t next_burial_ = 0;
  std::map<std::string, std::unique_ptr<Scope>> scopes_;  // last: their threads use the above
};

}  // namespace sandboxrun::control
