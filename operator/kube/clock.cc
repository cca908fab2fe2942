#include "operator/kube/clock.h"

#include <memory>
#include <random>
#include <string>
#include <utility>

#include "operator/base/time.h"

namespace sandboxrun::kube {

bool Clock::sleep(std::chrono::nanoseconds duration, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  const Instant until = now() + duration;
  while (!stop.stop_requested()) {
    if (now() >= until) return true;
    wait(wake, lock, stop, until);
  }
  return false;
}

Instant SystemClock::now() const {
  return std::chrono::steady_clock::now();
}

WallTime SystemClock::wall() const {
  return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
}

void SystemClock::wait(std::condition_variable_any& wake, std::unique_lock<std::mutex>& lock,
                       const std::stop_token& stop, Instant until) {
  bool woken = false;
  wake.wait_until(lock, stop, until, [&woken] { return std::exchange(woken, true); });
}

Random system_random() {
  // 64 bits of state are enough to spread retries; nothing secret comes from here.
  auto engine = std::make_shared<std::minstd_rand>(std::random_device{}());
  return [engine] { return std::uniform_real_distribution<double>(0.0, 1.0)(*engine); };
}

std::string format_micro_time(WallTime time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  std::string text = format_time(TimePoint(seconds));
  std::string fraction = std::to_string((time - seconds).count());
  fraction.insert(0, 6 - fraction.size(), '0');
  text.pop_back();
  return text + "." + fraction + "Z";
}

}  // namespace sandboxrun::kube
