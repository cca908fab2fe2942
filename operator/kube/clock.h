#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>
#include <string>

namespace sandboxrun::kube {

/// A point on the monotonic clock. Says nothing about the time of day.
using Instant = std::chrono::steady_clock::time_point;
/// The time of day, UTC, as precise as Kubernetes' MicroTime.
using WallTime = std::chrono::sys_time<std::chrono::microseconds>;
/// Gives numbers in [0, 1), evenly spread. Each user has its own, so it need not be thread safe.
using Random = std::function<double()>;

/// What everything here that waits asks for the time, so that a test can turn the hands.
/// Guarantees: thread safe; `now` never goes backwards.
/// Caveats: `wall` may jump; it is only written down, never compared.
class Clock {
 public:
  virtual ~Clock() = default;

  virtual Instant now() const = 0;
  virtual WallTime wall() const = 0;

  /// Waits until `wake` is notified, `until` has come or `stop` is requested. It may return for no
  /// reason at all: callers look at their condition again.
  virtual void wait(std::condition_variable_any& wake, std::unique_lock<std::mutex>& lock,
                    const std::stop_token& stop, Instant until) = 0;

  /// False if `stop` came before the time was over.
  bool sleep(std::chrono::nanoseconds duration, const std::stop_token& stop);
};

/// The machine's clocks.
class SystemClock final : public Clock {
 public:
  Instant now() const override;
  WallTime wall() const override;
  void wait(std::condition_variable_any& wake, std::unique_lock<std::mutex>& lock,
            const std::stop_token& stop, Instant until) override;
};

/// A Random that begins at a place of its own in every process.
Random system_random();

/// As the API server writes a MicroTime: "2026-05-01T08:15:30.000042Z".
std::string format_micro_time(WallTime time);

}  // namespace sandboxrun::kube
