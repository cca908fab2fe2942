#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>

namespace sandboxrun::launch {

/// Asks everything before the run's start to stop: when the start deadline passes, or when the
/// caller cancels.
class StartDeadline {
 public:
  StartDeadline(std::chrono::seconds after, std::stop_token cancel)
      : end_(std::chrono::steady_clock::now() + after),
        forward_(std::move(cancel), [this] { source_.request_stop(); }),
        timer_([this](const std::stop_token& done) { wait(done); }) {}

  std::stop_token token() const { return source_.get_token(); }
  bool passed() const { return passed_; }
  std::chrono::seconds left() const {
    const auto rest = end_ - std::chrono::steady_clock::now();
    return std::max(std::chrono::seconds(0), std::chrono::ceil<std::chrono::seconds>(rest));
  }

 private:
  void wait(const std::stop_token& done) {
    std::unique_lock lock(mutex_);
    wake_.wait_until(lock, done, end_, [] { return false; });
    if (done.stop_requested()) return;
    passed_ = true;
    lock.unlock();
    source_.request_stop();
  }

  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::atomic<bool> passed_ = false;
  std::chrono::steady_clock::time_point end_;
  std::stop_source source_;
  std::stop_callback<std::function<void()>> forward_;
  std::jthread timer_;  // last: it uses everything above
};

}  // namespace sandboxrun::launch
