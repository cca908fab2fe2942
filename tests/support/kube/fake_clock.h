#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <utility>

#include "operator/kube/clock.h"

namespace sandboxrun::kube {

/// A clock whose hands a test turns. In mode Flows waiting turns them itself: who waits is at once
/// where it wanted to be.
class FakeClock final : public Clock {
 public:
  enum class Mode { Stands, Flows };
  explicit FakeClock(Mode mode = Mode::Stands) : mode_(mode) {}

  void advance(std::chrono::nanoseconds by) {
    const std::lock_guard lock(mutex_);
    now_ += by;
  }
  /// Makes this machine's time of day wrong.
  void set_wall_offset(std::chrono::seconds offset) {
    const std::lock_guard lock(mutex_);
    offset_ = offset;
  }

  /// How often somebody began to wait, or went on waiting.
  int waits() const { return waits_; }

  Instant now() const override {
    const std::lock_guard lock(mutex_);
    return now_;
  }
  WallTime wall() const override {
    const std::lock_guard lock(mutex_);
    return WallTime(std::chrono::seconds(1'790'000'000)) + offset_ +
           std::chrono::duration_cast<std::chrono::microseconds>(now_.time_since_epoch());
  }
  void wait(std::condition_variable_any& wake, std::unique_lock<std::mutex>& lock,
            const std::stop_token& stop, Instant until) override {
    ++waits_;
    if (mode_ == Mode::Flows) {
      const std::lock_guard own(mutex_);
      now_ = std::max(now_, until);
      return;
    }
    bool woken = false;
    wake.wait_for(lock, stop, std::chrono::milliseconds(1),
                  [&woken] { return std::exchange(woken, true); });
  }

 private:
  const Mode mode_;
  std::atomic<int> waits_ = 0;
  mutable std::mutex mutex_;
  Instant now_{std::chrono::hours(1)};
  std::chrono::seconds offset_{0};
};

}  // namespace sandboxrun::kube
