#include "operator/kube/backoff.h"

#include <algorithm>
#include <utility>

namespace sandboxrun::kube {

Backoff::Backoff(BackoffOptions options, Random random)
    : options_(options), random_(std::move(random)), delay_(options.initial) {}

std::chrono::milliseconds Backoff::next(Instant now) {
  if (used_ && now - last_end_ >= options_.reset) reset();
  const auto base = std::min(delay_, options_.cap);
  const auto spread = static_cast<double>(base.count()) * options_.jitter * random_();
  const auto result = base + std::chrono::milliseconds(static_cast<std::int64_t>(spread));
  const auto grown = static_cast<double>(base.count()) * options_.factor;
  delay_ = std::min(options_.cap, std::chrono::milliseconds(static_cast<std::int64_t>(grown)));
  last_end_ = now + result;
  used_ = true;
  return result;
}

void Backoff::reset() {
  delay_ = options_.initial;
  used_ = false;
}

TokenBucket::TokenBucket(double burst, std::chrono::nanoseconds interval)
    : burst_(burst), interval_(interval), tokens_(burst) {}

bool TokenBucket::take(Instant now) {
  refill(now);
  if (tokens_ < 1.0) return false;
  tokens_ -= 1.0;
  return true;
}

std::chrono::nanoseconds TokenBucket::reserve(Instant now) {
  refill(now);
  tokens_ -= 1.0;
  if (tokens_ >= 0.0) return std::chrono::nanoseconds(0);
  const double wait = -tokens_ * static_cast<double>(interval_.count());
  return std::chrono::nanoseconds(static_cast<std::int64_t>(wait));
}

void TokenBucket::refill(Instant now) {
  if (used_ && now > last_) {
    const auto passed = std::chrono::duration_cast<std::chrono::nanoseconds>(now - last_);
    tokens_ = std::min(burst_, tokens_ + static_cast<double>(passed.count()) /
                                             static_cast<double>(interval_.count()));
  }
  last_ = used_ ? std::max(last_, now) : now;
  used_ = true;
}

}  // namespace sandboxrun::kube
