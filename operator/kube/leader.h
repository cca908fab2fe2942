#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "operator/kube/clock.h"
#include "operator/kube/lease.h"
#include "operator/kube/metrics_hooks.h"

namespace sandboxrun::kube {

struct LeaderOptions {
  ObjectName lease;
  std::string identity;  ///< unique to this process: make_identity()
  std::chrono::seconds lease_duration{15};
  std::chrono::seconds renew_deadline{10};
  std::chrono::seconds retry_period{2};
};

/// "hostname_", and 128 random bits in hexadecimal.
std::string make_identity(std::string_view hostname);

/// Elects one of several processes by a Lease (client-go's algorithm).
/// Guarantees: a process counts itself leader for at most renew_deadline after the start of its
/// last successful write, and takes over another's lease only when it has seen that unchanged for
/// the whole duration written in it, on its own monotonic clock. So two of them lead at once only
/// if their clocks run at rates that differ by more than lease_duration : renew_deadline.
/// A lost reply, or a write that reached the server twice, doesn't lose the lease.
/// Assumptions: lease_duration > renew_deadline > 1.2 * retry_period (checked by create). One
/// thread calls acquire, hold and release.
/// Caveats: it is no fence. A write that was sent before leadership was lost may arrive after, so
/// every write must be idempotent or carry a resourceVersion or uid.
class LeaderElector {
 public:
  /// Invalid if the options contradict each other.
  static Result<std::unique_ptr<LeaderElector>> create(LeaderOptions options, Transport& transport,
                                                       Clock& clock, Random random,
                                                       Metrics& metrics);

  /// Called with what each failed attempt met; set before acquire.
  void on_problem(std::function<void(const Error&)> callback) { on_problem_ = std::move(callback); }

  /// Tries until this process leads. False: stopped.
  bool acquire(const std::stop_token& stop);
  /// Renews. True: stopped while leading. False: the lease is lost; do nothing more as a leader.
  bool hold(const std::stop_token& stop);
  /// Gives the lease up, so that the next leader need not wait for it to run out. Only after the
  /// last write. Tries for at most renew_deadline.
  Result<void> release();

  /// Thread safe. True while this process may act as the leader; it turns false by itself when
  /// renewing has not worked for renew_deadline.
  bool is_leader() const;
  /// Who leads, as far as it was last seen; for logs. Of the electing thread only.
  const std::string& holder() const { return observed_.holder; }

 private:
  enum class Attempt { Leads, OtherLeads, Failed };

  LeaderElector(LeaderOptions options, Transport& transport, Clock& clock, Random random,
                Metrics& metrics);
  Attempt attempt(const std::stop_token& stop);
  Attempt take_over(const std::stop_token& stop);
  Attempt write(const LeaseRecord& record, const std::stop_token& stop);
  Attempt create_lease(const std::stop_token& stop);
  Attempt accept(LeaseRecord record, Instant begun);
  Attempt failed(const Error& error);
  void observe(LeaseRecord record);
  LeaseRecord renewed(const LeaseRecord& from) const;
  std::chrono::milliseconds call_deadline() const;
  void set_leading(bool leading);

  const LeaderOptions options_;
  LeaseClient client_;
  Clock& clock_;
  Random random_;
  Metrics& metrics_;
  std::function<void(const Error&)> on_problem_;

  LeaseRecord observed_;
  Instant observed_at_{};
  std::atomic<bool> leading_ = false;
  std::atomic<Instant> renewed_at_{};
};

}  // namespace sandboxrun::kube
