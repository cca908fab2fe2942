#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "operator/base/log.h"
#include "operator/control/caches.h"
#include "operator/control/cluster.h"
#include "operator/control/isolation.h"
#include "operator/control/metrics.h"
#include "operator/control/policies.h"
#include "operator/kube/events_recorder.h"
#include "operator/kube/store_gate.h"
#include "operator/pod/compare.h"
#include "operator/pod/options.h"
#include "operator/run/decide.h"
#include "operator/run/validate.h"

namespace sandboxrun::control {

struct ReconcilerOptions {
  pod::PodOptions pods;
  run::Policy policy;
  /// How long a pod may take on its node before its events are asked for the cause.
  Milliseconds event_patience = std::chrono::seconds(15);
  /// How long one reconcile may take; its calls are cut off then.
  std::chrono::milliseconds patience = std::chrono::minutes(2);
  std::function<TimePoint()> now;           ///< the time of day
  std::function<std::string()> make_token;  ///< 128 random bits in hexadecimal
};

/// Memory between reconciles; all of it may be lost without harm.
class Notes {
 public:
  std::optional<run::Refusal> refusal(const std::string& run_uid) const;
  void refused(const std::string& run_uid, run::Refusal refusal);

  struct Look {
    TimePoint at;
    std::optional<run::Trouble> trouble;
  };
  std::optional<Look> look(const std::string& pod_uid) const;
  void looked(const std::string& pod_uid, Look look);

  void forget_run(const std::string& run_uid);
  void forget_pod(const std::string& pod_uid);

  /// What a run was decided from when nothing was left to do for it. As long as all of that is the
  /// same, which the events of our own writes show, nothing has to be decided anew before `due`.
  struct Rest {
    std::string run_version;
    std::string pod_name;
    std::string pod_version;     ///< empty: it was not there
    std::uint64_t policies = 0;  ///< the version up to which they were seen
    Isolation isolation;
    std::optional<TimePoint> due;
  };
  std::optional<Rest> rest(const kube::ObjectName& run) const;
  void rests(const kube::ObjectName& run, Rest rest);
  void forget_rest(const kube::ObjectName& run);

 private:
  mutable std::mutex mutex_;
  std::map<kube::ObjectName, Rest> rests_;
  std::map<std::string, run::Refusal> refusals_;
  std::map<std::string, Look> looks_;
};

/// Brings one run a step further: get, observe, decide, act, write the status.
/// Guarantees: thread safe for different keys; what it does may be interrupted anywhere and done
/// again; the status is written before a pod is let loose or stopped; it does not act on a cache
/// that has not seen its own writes.
/// Assumptions: everything that it is given outlives it.
class Reconciler {
 public:
  struct Parts {
    Caches& caches;
    PolicyKeeper& policies;
    const IsolationState& isolation;
    kube::Transport& transport;
    kube::WriteGate& gate;
    kube::EventRecorder& events;
    MetricsRegistry& metrics;
    kube::Clock& clock;
  };
  Reconciler(ReconcilerOptions options, Parts parts);

  struct Outcome {
    std::optional<Milliseconds> requeue_after;
  };
  /// `log` carries what every line about this piece of work is to have.
  /// Errors: the call that failed, to be tried again later. Timeout: that call, or all together
  /// took longer than ReconcilerOptions::patience.
  kube::Result<Outcome> reconcile(const kube::ObjectName& key, const ScopedLog& log,
                                  const std::stop_token& stop);

  /// Nothing that the run was last decided from has changed since, and no time is up: an event that
  /// tells no more than that needs no work.
  bool is_at_rest(const kube::ObjectName& key) const;

 private:
  struct World;
  enum class Progress { Done, Again };

  /// Nothing has changed since the run came to rest; what is left of the time until it is due.
  std::optional<Outcome> still_rests(const kube::ObjectName& key, const FoundRun& run) const;
  void let_rest(const World& world, const Outcome& outcome);

  kube::Result<Outcome> drive(World& world);
  kube::Result<Outcome> refuse(World& world);
  void observe(World& world);
  void look_for_trouble(World& world);
  run::Decision decide(const World& world) const;

  kube::Result<Progress> prepare(World& world, const run::Decision& decision);
  kube::Result<void> look_live(World& world);
  kube::Result<void> apply_policies(World& world);
  kube::Result<void> repair_policies(World& world);
  kube::Result<Progress> create(World& world, int number);
  kube::Result<Progress> adopt(World& world);
  kube::Result<Progress> note_refusal(World& world, const kube::Error& error);
  void take_pod(World& world, SeenPod pod, const Node* rendered, pod::Stage stage);
  void take_live(World& world, SeenPod pod);

  kube::Result<bool> write_status(World& world, const run::Status& status);
  void tell(const World& world, const run::Status& before, const run::Status& after);

  kube::Result<Progress> act(World& world, const run::Decision& decision);
  kube::Result<Progress> ungate(World& world);
  kube::Result<Progress> stop_pod(World& world, const run::Stop& stop);
  kube::Result<Progress> delete_pod(World& world, run::Reason reason);

  const ReconcilerOptions options_;
  Parts parts_;
  Notes notes_;
};

}  // namespace sandboxrun::control
