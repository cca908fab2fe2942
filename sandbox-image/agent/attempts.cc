#include "sandbox-image/agent/attempts.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <random>

namespace sandboxrun::agent {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// False if it was stopped.
bool sleep_for(milliseconds time, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, time, [] { return false; });
  return !stop.stop_requested();
}

milliseconds wait_before(int attempt, const AttemptFailure& last, const AttemptLimits& limits,
                         std::minstd_rand& random) {
  milliseconds wait = limits.first_wait;
  for (int i = 2; i < attempt && wait < limits.longest_wait; ++i) wait *= 2;
  wait = std::min(wait, limits.longest_wait);
  std::uniform_int_distribution<milliseconds::rep> spread(wait.count() / 2, wait.count());
  const auto asked = std::min<milliseconds>(last.retry_after, limits.longest_wait);
  return std::max(milliseconds(spread(random)), asked);
}

std::unexpected<Error> give_up(const std::string& shown, int attempts, ErrorKind kind,
                               const std::string& cause) {
  if (attempts <= 1) return failure(kind, shown + ": " + cause);
  return failure(kind, shown + ": " + std::to_string(attempts) + " attempts; last: " + cause);
}

}  // namespace

AttemptFailure AttemptFailure::of(Error error) {
  const bool retry = error.kind == ErrorKind::Transport;
  return AttemptFailure{std::move(error), retry};
}

Result<void> run_attempts(const std::string& shown, const AttemptLimits& limits,
                          const Attempt& attempt) {
  std::minstd_rand random(std::random_device{}());
  for (int made = 1;; ++made) {
    auto done = attempt();
    if (done) return {};
    const AttemptFailure& last = done.error();
    if (!last.retry || made >= limits.max_attempts) {
      return give_up(shown, made, last.error.kind, last.error.message);
    }
    const milliseconds wait = wait_before(made + 1, last, limits, random);
    if (steady_clock::now() + wait >= limits.deadline) {
      return give_up(shown, made, ErrorKind::Timeout,
                     last.error.message + "; no time is left for another");
    }
    if (!sleep_for(wait, limits.stop)) {
      return give_up(shown, made, ErrorKind::Cancelled, last.error.message + "; cancelled");
    }
  }
}

}  // namespace sandboxrun::agent
