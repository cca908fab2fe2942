#pragma once

#include <chrono>

#include "operator/kube/clock.h"

namespace sandboxrun::kube {

struct BackoffOptions {
  std::chrono::milliseconds initial{800};
  double factor = 2.0;
  std::chrono::milliseconds cap{30000};     ///< of the delay before jitter
  double jitter = 1.0;                      ///< a delay d becomes one in [d, d + jitter*d)
  std::chrono::milliseconds reset{120000};  ///< this long without a delay: begin anew
};

/// How long to wait before asking a server again; client-go's reflector constants by default.
/// Guarantees: delays grow by `factor` up to `cap`, and begin anew after `reset` of peace.
/// Caveats: not thread safe.
class Backoff {
 public:
  explicit Backoff(BackoffOptions options, Random random);
  std::chrono::milliseconds next(Instant now);
  void reset();

 private:
  BackoffOptions options_;
  Random random_;
  std::chrono::milliseconds delay_;
  Instant last_end_{};
  bool used_ = false;
};

/// Lets `burst` through at once and one more every `interval`.
/// Guarantees: over any time t at most burst + t / interval pass.
/// Caveats: not thread safe.
class TokenBucket {
 public:
  TokenBucket(double burst, std::chrono::nanoseconds interval);
  /// Takes a token if there is one.
  bool take(Instant now);
  /// Takes a token that may only come in the future, and says how long to wait for it.
  std::chrono::nanoseconds reserve(Instant now);

 private:
  void refill(Instant now);

  double burst_;
  std::chrono::nanoseconds interval_;
  double tokens_;
  Instant last_{};
  bool used_ = false;
};

}  // namespace sandboxrun::kube
