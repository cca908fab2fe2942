#pragma once

#include <chrono>
#include <expected>
#include <functional>
#include <stop_token>
#include <string>

#include "operator/base/error.h"

namespace sandboxrun::agent {

/// Times of retries; what isn't in the policy because nobody but tests has reason to change it.
struct TransferTuning {
  std::chrono::milliseconds first_wait{1000};
  std::chrono::milliseconds longest_wait{60'000};  ///< also the most that Retry-After gets
  std::int64_t low_speed_bytes = 1024;             ///< a second
  std::chrono::seconds low_speed_time{60};
};

struct AttemptFailure {
  Error error;
  bool retry = false;
  std::chrono::seconds retry_after{0};  ///< what the server asked for

  /// Retries what another try might cure: ErrorKind::Transport.
  static AttemptFailure of(Error error);
};

struct AttemptLimits {
  int max_attempts = 5;
  std::chrono::steady_clock::time_point deadline;
  std::chrono::milliseconds first_wait{1000};
  std::chrono::milliseconds longest_wait{60'000};
  std::stop_token stop;
};

using Attempt = std::function<std::expected<void, AttemptFailure>()>;

/// Tries until it works, fails for good, or attempts or time run out. Waits between: first_wait
/// doubled each time up to longest_wait, of which between half and all is taken at random, and
/// at least what the server asked for (up to longest_wait).
/// The error is "<shown>: <cause>" or "<shown>: N attempts; last: <cause>".
Result<void> run_attempts(const std::string& shown, const AttemptLimits& limits,
                          const Attempt& attempt);

}  // namespace sandboxrun::agent
