#pragma once

#include <chrono>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "operator/kube/api.h"
#include "operator/kube/clock.h"
#include "operator/kube/transport.h"

namespace sandboxrun::kube {

/// What a Lease (coordination.k8s.io/v1) says. Times are kept as written: they come from other
/// machines' clocks and are never compared with ours.
struct LeaseRecord {
  std::string holder;  ///< "" when nobody holds it
  std::chrono::seconds duration{0};
  std::string acquire_time;
  std::string renew_time;
  int transitions = 0;
  std::string resource_version;

  friend bool operator==(const LeaseRecord&, const LeaseRecord&) = default;
};

/// Malformed if it is no Lease. Fields that are absent are empty.
Result<LeaseRecord> decode_lease(std::string_view json);
/// The Lease with this record, as an update of `record.resource_version` or, if that is empty, as
/// a new one. Labels and annotations are not kept.
std::string encode_lease(const ObjectName& name, const LeaseRecord& record);

/// The calls on one Lease.
/// Guarantees: an update is accepted by the server only if the Lease is what was last read.
class LeaseClient {
 public:
  LeaseClient(Transport& transport, ObjectName name);

  /// `deadline` bounds each call with all its retries.
  Result<LeaseRecord> get(std::chrono::milliseconds deadline, const std::stop_token& stop);
  Result<LeaseRecord> create(const LeaseRecord& record, std::chrono::milliseconds deadline,
                             const std::stop_token& stop);
  Result<LeaseRecord> update(const LeaseRecord& record, std::chrono::milliseconds deadline,
                             const std::stop_token& stop);

 private:
  Result<LeaseRecord> send(Request request, std::chrono::milliseconds deadline,
                           const std::stop_token& stop);

  Transport& transport_;
  const ObjectName name_;
};

}  // namespace sandboxrun::kube
