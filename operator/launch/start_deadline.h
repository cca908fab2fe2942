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
/// Thread safety: for one thread; the token is for any.
class StartDeadline {
 public:
  StartDeadline(std::chrono::seconds after, std::stop_token cancel)
      : end_(std::chrono::steady_clock::now() + after),
        forward_(std::move(cancel), [this] { source_.request_stop(); }) {}

  /// For what may take long. From the first call on a thread watches the time: a run that finds all
  /// in its caches would only wait for that thread's end.
  std::stop_token token() {
    if (!timer_.joinable()) {
      timer_ = std::jthread([this](const std::stop_token& done) { wait(done); });
    }
    return source_.get_token();
  }
  /// Whether to stop, as the token says, but without the thread.
  bool over() {
    if (std::chrono::steady_clock::now() >= end_) pass();
    return source_.stop_requested();
  }
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
    lock.unlock();
    pass();
  }
  void pass() {
    passed_ = true;
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
