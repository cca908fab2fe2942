#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>

#include "operator/base/log.h"
#include "operator/control/caches.h"
#include "operator/control/flags.h"
#include "operator/control/isolation.h"
#include "operator/control/metrics.h"
#include "operator/control/policies.h"
#include "operator/control/reconciler.h"
#include "operator/kube/clock.h"
#include "operator/kube/leader.h"
#include "operator/kube/transport.h"
#include "operator/kube/work_queue.h"

namespace sandboxrun::control {

/// What the parts around the operator tell each other.
/// Guarantees: thread safe.
class Health {
 public:
  /// The API server did not answer, or it did.
  void heard(bool answered) { reachable_ = answered; }
  bool is_reachable() const { return reachable_; }
  void set_synced(bool synced) { synced_ = synced; }
  /// All caches are filled, the API server answers, and nobody has asked us to stop.
  bool is_ready() const { return reachable_ && synced_; }

 private:
  std::atomic<bool> reachable_ = true;
  std::atomic<bool> synced_ = false;
};

struct Timing {
  std::chrono::milliseconds reconcile{120000};  ///< for one reconcile, all its calls together
  std::chrono::milliseconds sweep{600000};   ///< between two looks for policies that nobody needs
  std::chrono::milliseconds probe{3600000};  ///< between two probes of network isolation
  std::chrono::milliseconds probe_backoff{30000};  ///< the first of growing pauses until an answer
  std::chrono::milliseconds drain{30000};          ///< for workers to finish what they began
  std::chrono::milliseconds flush{2000};           ///< for events that wait
  kube::BackoffOptions backoff;                    ///< of the caches
  /// How long a watch of theirs is asked for; one that gives nothing is left 5 s later.
  std::chrono::seconds min_watch{240};
  std::chrono::seconds max_watch{290};
};

/// Caches, queue, workers and leadership around a Reconciler.
/// Guarantees: `run` returns when `stop` is requested, after the workers have finished, the events
/// were sent and the lease was given up, in this order; or when leadership is lost.
/// Assumptions: what it is given outlives it. `run` is called once.
class Operator {
 public:
  struct Parts {
    kube::Transport& transport;
    kube::Clock& clock;
    MetricsRegistry& metrics;
    const Log& log;
    Health& health;
  };
  Operator(const OperatorOptions& options, Parts parts, Timing timing = {});

  /// Errors: Unavailable, if leadership was lost; InvalidInput, if the options contradict.
  Result<void> run(const std::stop_token& stop);

  /// Brings those metrics up to date that are counted when they are read.
  void measure();

 private:
  bool wait_for_caches(const std::stop_token& stop);
  void watch_server(const std::stop_token& stop);
  void work(const std::stop_token& calls);
  kube::Result<Reconciler::Outcome> reconcile(const kube::ObjectName& key, const ScopedLog& log,
                                              const std::stop_token& calls);
  void work_on(const kube::ObjectName& key, const std::stop_token& calls);
  void sweep(const std::stop_token& stop);
  void probe(const std::stop_token& stop);
  bool probe_once(IsolationProbe& probe, const std::stop_token& stop);
  void publish_isolation();
  void without_exceptions(std::string_view what, const std::function<void()>& work);
  bool lead(kube::LeaderElector* elector, const std::stop_token& stop);

  const OperatorOptions options_;
  Parts parts_;
  const Timing timing_;
  kube::WorkQueue queue_;
  kube::WriteGate gate_;
  kube::EventRecorder events_;
  Caches caches_;
  PolicyKeeper policies_;
  IsolationState isolation_;
  Reconciler reconciler_;
};

TimePoint time_of_day();

}  // namespace sandboxrun::control
