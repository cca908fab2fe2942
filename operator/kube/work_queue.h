#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "operator/kube/backoff.h"
#include "operator/kube/clock.h"
#include "operator/kube/metrics_hooks.h"
#include "operator/kube/watch_step.h"

namespace sandboxrun::kube {

/// Which keys are handed out first: those of live events, before those of the initial list and of
/// resyncs.
enum class Lane { Live, Background };

struct WorkQueueOptions {
  std::string name;                                ///< the metrics' label
  std::chrono::milliseconds base_delay{5};         ///< add_rate_limited: base * 2^failures,
  std::chrono::milliseconds max_delay{1'000'000};  ///< at most this,
  double burst = 100;                              ///< and all keys together: this many at once
  std::chrono::milliseconds interval{100};         ///< and one more in each of these
};

/// The keys that a reconciler must look at (client-go's workqueue with two lanes).
/// Guarantees: thread safe. A key is never handed to two workers at once; a key added while it is
/// worked on is handed out again afterwards; a key added often before it is handed out is handed
/// out once; no key is lost while the queue is open. Within a lane it is first in, first out.
/// Assumptions: each key that `get` gave is given back by one `done`.
/// Caveats: keys that are due only move when somebody calls `get`, so depth is behind while all
/// workers are busy. Live keys can hold background keys up for as long as they keep coming.
class WorkQueue {
 public:
  WorkQueue(WorkQueueOptions options, Clock& clock, Metrics& metrics);

  void add(const ObjectName& key, Lane lane = Lane::Live);
  /// Adds it after a while. Of several waiting adds of a key the earliest counts, in the better
  /// lane of them.
  void add_after(const ObjectName& key, std::chrono::nanoseconds delay, Lane lane = Lane::Live);
  /// Adds it after a delay that grows with the key's failures; counts one more.
  void add_rate_limited(const ObjectName& key, Lane lane = Lane::Live);
  /// The key succeeded: its failures are forgotten.
  void forget(const ObjectName& key);
  int failures(const ObjectName& key) const;

  /// Waits for a key. Nothing: `stop` was requested or the queue was shut down.
  std::optional<ObjectName> get(const std::stop_token& stop);
  void done(const ObjectName& key);

  /// From now on nothing is added and nothing handed out; what waited is given up, since whoever
  /// leads next lists everything anew.
  void shut_down();
  /// Waits until no key is worked on. False: still some after `patience`.
  bool drain(std::chrono::nanoseconds patience);

  std::size_t depth() const;
  std::size_t processing() const;
  /// Brings the gauges of unfinished work up to date; to be called before they are read.
  void publish_metrics();

 private:
  struct Waiting {
    Lane lane;
    Instant since;
  };
  struct Delayed {
    Instant due;
    Lane lane;
  };
  using Keys = std::unordered_map<ObjectName, Waiting, ObjectNameHash>;

  void add_locked(const ObjectName& key, Lane lane);
  void add_after_locked(const ObjectName& key, std::chrono::nanoseconds delay, Lane lane);
  void enqueue(const ObjectName& key, Lane lane);
  void move_due(Instant now);
  Instant next_due() const;
  void wait(std::unique_lock<std::mutex>& lock, const std::stop_token& stop, Instant now);
  void wake_one();
  std::optional<ObjectName> pop();
  void publish_depth();

  const WorkQueueOptions options_;
  Clock& clock_;
  Metrics& metrics_;

  mutable std::mutex mutex_;
  // Those who wait for something to do. The last one is woken first, since what it needs is still
  // in the processor's caches; the first one is who looks after the schedule.
  std::vector<std::condition_variable_any*> waiting_;
  std::condition_variable_any idle_;  // nothing is worked on
  bool open_ = true;
  Keys dirty_;  // to be handed out; queued unless also in processing_
  std::unordered_map<ObjectName, Instant, ObjectNameHash> processing_;
  // An entry whose key is not dirty, or dirty in another lane, is a leftover.
  std::deque<ObjectName> live_;
  std::deque<ObjectName> background_;
  std::size_t queued_ = 0;
  std::unordered_map<ObjectName, Delayed, ObjectNameHash> delayed_;
  std::set<std::pair<Instant, ObjectName>> schedule_;
  std::unordered_map<ObjectName, int, ObjectNameHash> failures_;
  TokenBucket bucket_;
  // One waiting worker is enough for the schedule; until when it waits, or the end of time.
  Instant kept_until_ = Instant::max();
};

}  // namespace sandboxrun::kube
