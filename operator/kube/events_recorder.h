#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>

#include "operator/kube/clock.h"
#include "operator/kube/events.h"
#include "operator/kube/metrics_hooks.h"
#include "operator/kube/transport.h"

namespace sandboxrun::kube {

struct EventRecorderOptions {
  EventSource source;
  std::size_t capacity = 1000;             ///< writes that wait; more are dropped
  int tries = 12;                          ///< of one write
  std::chrono::milliseconds pause{10000};  ///< between two, up to a quarter more
};

/// Writes events from a thread of its own.
/// Guarantees: `record` never blocks on the network and never fails; memory is bounded; an event
/// that cannot be sent holds up no other.
/// Assumptions: transport, clock and metrics outlive it.
/// Caveats: events are for people: they can be late, joined, or dropped when there are too many.
class EventRecorder {
 public:
  EventRecorder(EventRecorderOptions options, Transport& transport, Clock& clock, Random random,
                Metrics& metrics);
  /// Gives up what is still waiting; call flush before, if that matters.
  ~EventRecorder();

  /// A write that was given up, and why; called on the recorder's thread. Set before `start`.
  void on_problem(std::function<void(const Error&)> callback) { on_problem_ = std::move(callback); }
  void start();

  void record(const EventFacts& facts);

  /// Sends what waits, each once more at most. False: not all within `patience`.
  bool flush(std::chrono::nanoseconds patience);

 private:
  struct Pending {
    EventWrite write;
    int tried = 0;
    Instant due;
  };

  void run(const std::stop_token& stop);
  void push(EventWrite write, Instant due);
  bool take_next(Pending& next, const std::stop_token& stop);
  void finish(Pending pending, const Result<Response>& result);
  Result<Response> send(const EventWrite& write, const std::stop_token& stop);

  const EventRecorderOptions options_;
  Transport& transport_;
  Clock& clock_;
  Random random_;
  Metrics& metrics_;
  std::function<void(const Error&)> on_problem_;

  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::condition_variable_any idle_;
  EventSeries series_;
  std::deque<Pending> pending_;
  Instant next_tick_;
  bool sending_ = false;
  bool flushing_ = false;
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace sandboxrun::kube
