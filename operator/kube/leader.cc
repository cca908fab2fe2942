#include "operator/kube/leader.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "operator/base/random.h"

namespace sandboxrun::kube {
namespace {

// The leader renews every retry_period, at most this much later (client-go's JitterFactor).
constexpr double kJitter = 1.2;
// Who waits looks more often, after retry_period * [0.4, 0.8): a lease that was given up is then
// taken before the next one would have been renewed.
constexpr double kLookSoonest = 0.4;
constexpr double kLookSpread = 0.4;

}  // namespace

std::string make_identity(std::string_view hostname) {
  return std::string(hostname) + "_" + random_hex(16);
}

Result<std::unique_ptr<LeaderElector>> LeaderElector::create(LeaderOptions options,
                                                             Transport& transport, Clock& clock,
                                                             Random random, Metrics& metrics) {
  if (options.identity.empty() || options.lease.name.empty() ||
      options.lease.namespace_name.empty()) {
    return failure(ErrorKind::Invalid,
                   "Leader election needs an identity and the name and namespace of a Lease.");
  }
  const std::chrono::duration<double> retry = options.retry_period;
  if (options.lease_duration <= options.renew_deadline ||
      options.renew_deadline <= kJitter * retry || options.retry_period.count() < 1) {
    return failure(ErrorKind::Invalid,
                   "Leader election needs lease duration > renew deadline > 1.2 * retry period > "
                   "0; give e.g. 15 s, 10 s and 2 s.");
  }
  return std::unique_ptr<LeaderElector>(
      new LeaderElector(std::move(options), transport, clock, std::move(random), metrics));
}

LeaderElector::LeaderElector(LeaderOptions options, Transport& transport, Clock& clock,
                             Random random, Metrics& metrics)
    : options_(std::move(options)),
      client_(transport, options_.lease),
      clock_(clock),
      random_(std::move(random)),
      metrics_(metrics) {
  set_leading(false);
}

bool LeaderElector::acquire(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    if (attempt(stop) == Attempt::Leads) return true;
    const auto wait = std::chrono::duration<double>(options_.retry_period) *
                      (kLookSoonest + kLookSpread * random_());
    clock_.sleep(std::chrono::duration_cast<std::chrono::nanoseconds>(wait), stop);
  }
  return false;
}

bool LeaderElector::hold(const std::stop_token& stop) {
  while (true) {
    const Instant lost_at = renewed_at_.load() + options_.renew_deadline;
    const auto left = lost_at - clock_.now();
    const bool go_on =
        clock_.sleep(std::min<std::chrono::nanoseconds>(options_.retry_period, left), stop);
    if (!go_on) return is_leader();
    const Attempt result = clock_.now() < lost_at ? attempt(stop) : Attempt::OtherLeads;
    if (stop.stop_requested()) return is_leader();
    if (result == Attempt::OtherLeads) {
      set_leading(false);
      return false;
    }
  }
}

bool LeaderElector::is_leader() const {
  return leading_ && clock_.now() < renewed_at_.load() + options_.renew_deadline;
}

// The fast path of a leader is one PUT with what it wrote last.
LeaderElector::Attempt LeaderElector::attempt(const std::stop_token& stop) {
  if (leading_ && observed_.holder == options_.identity) {
    const Attempt result = write(renewed(observed_), stop);
    if (result != Attempt::Failed) return result;
    // After a conflict observed_ is what the server has; after anything else it may be behind.
    if (stop.stop_requested()) return Attempt::Failed;
  }
  return take_over(stop);
}

LeaderElector::Attempt LeaderElector::take_over(const std::stop_token& stop) {
  auto current = client_.get(call_deadline(), stop);
  if (!current && current.error().kind == ErrorKind::NotFound) return create_lease(stop);
  if (!current) return failed(current.error());
  observe(std::move(*current));
  const bool ours = observed_.holder == options_.identity;
  if (!ours && !observed_.holder.empty() && clock_.now() < observed_at_ + observed_.duration) {
    return Attempt::OtherLeads;
  }
  // While leading, a lease that somebody took and let run out is lost all the same.
  if (!ours && leading_) return Attempt::OtherLeads;
  LeaseRecord wanted = renewed(observed_);
  if (!ours) {
    wanted.holder = options_.identity;
    wanted.acquire_time = wanted.renew_time;
    wanted.transitions = observed_.transitions + 1;
  }
  return write(wanted, stop);
}

LeaderElector::Attempt LeaderElector::create_lease(const std::stop_token& stop) {
  LeaseRecord record = renewed({});
  record.holder = options_.identity;
  record.acquire_time = record.renew_time;
  const Instant begun = clock_.now();
  auto created = client_.create(record, call_deadline(), stop);
  if (created) return accept(std::move(*created), begun);
  if (created.error().kind == ErrorKind::AlreadyExists) return Attempt::Failed;
  return failed(created.error());
}

// A PUT may reach the server twice, and the second one then conflicts with our own success.
LeaderElector::Attempt LeaderElector::write(const LeaseRecord& record,
                                            const std::stop_token& stop) {
  const Instant begun = clock_.now();
  auto written = client_.update(record, call_deadline(), stop);
  if (written) return accept(std::move(*written), begun);
  if (written.error().kind != ErrorKind::Conflict) return failed(written.error());
  auto current = client_.get(call_deadline(), stop);
  if (!current) return failed(current.error());
  if (current->holder == options_.identity && current->renew_time == record.renew_time) {
    return accept(std::move(*current), begun);
  }
  observe(std::move(*current));
  return failed(written.error());
}

LeaderElector::Attempt LeaderElector::accept(LeaseRecord record, Instant begun) {
  observe(std::move(record));
  renewed_at_ = begun;
  set_leading(true);
  return Attempt::Leads;
}

LeaderElector::Attempt LeaderElector::failed(const Error& error) {
  if (on_problem_) on_problem_(error);
  return Attempt::Failed;
}

void LeaderElector::observe(LeaseRecord record) {
  // A change of the object's metadata alone is no sign of life.
  observed_.resource_version = record.resource_version;
  if (record == observed_) return;
  observed_ = std::move(record);
  observed_at_ = clock_.now();
}

LeaseRecord LeaderElector::renewed(const LeaseRecord& from) const {
  LeaseRecord record = from;
  record.duration = options_.lease_duration;
  record.renew_time = format_micro_time(clock_.wall());
  return record;
}

// Half of the renew deadline, so that one call that hangs leaves time for another; and never past
// the moment at which leadership is lost.
std::chrono::milliseconds LeaderElector::call_deadline() const {
  using std::chrono::milliseconds;
  const milliseconds half = std::chrono::duration_cast<milliseconds>(options_.renew_deadline) / 2;
  if (!leading_) return half;
  const auto left = std::chrono::duration_cast<milliseconds>(
      renewed_at_.load() + options_.renew_deadline - clock_.now());
  return std::clamp(left, milliseconds(1), half);
}

void LeaderElector::set_leading(bool leading) {
  leading_ = leading;
  metrics_.set(metric::kLeaderStatus, options_.lease.name, leading ? 1 : 0);
}

Result<void> LeaderElector::release() {
  if (!leading_) return {};
  set_leading(false);
  const Instant until = clock_.now() + options_.renew_deadline;
  const std::stop_token never;
  while (true) {
    LeaseRecord record = observed_;
    record.holder.clear();
    record.duration = std::chrono::seconds(1);
    record.renew_time = record.acquire_time = format_micro_time(clock_.wall());
    const auto written = client_.update(record, call_deadline(), never);
    if (written) return {};
    if (clock_.now() >= until) return std::unexpected(written.error());
    auto current = client_.get(call_deadline(), never);
    if (current && current->holder != options_.identity) return {};  // ours no more
    if (current) {
      observe(std::move(*current));
      if (written.error().kind == ErrorKind::Conflict) continue;
    }
    clock_.sleep(std::chrono::milliseconds(200), never);
  }
}

}  // namespace sandboxrun::kube
