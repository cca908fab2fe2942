#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "operator/kube/clock.h"
#include "operator/kube/watch_step.h"

namespace sandboxrun::kube {

/// Keeps a reconciler from deciding on a cache that has not yet seen its own writes (KEP-5647): it
/// notes each write's resource version under the key for which it was made, and the reconciler is
/// asked again later while the cache is behind.
/// Guarantees: thread safe; once `is_behind` is false for a write, the store that gave `seen` holds
/// that write or a newer one. A key costs memory only until its writes were seen.
/// Assumptions: each `kind` is one store; versions are integers of one order within it (KEP-5505).
/// Caveats: a write is forgotten after `patience`, so that a version that never comes (a filtered
/// watch, a restored etcd) holds nothing up for ever. It is no lock: other writers are not seen.
class WriteGate {
 public:
  explicit WriteGate(Clock& clock, std::chrono::milliseconds patience = std::chrono::minutes(5));

  /// `resource_version` is the answer's; one that is no integer is not waited for.
  void wrote(const ObjectName& key, std::string_view kind, std::string_view resource_version);

  /// True while the store of `kind`, which has seen everything up to `seen`, is behind.
  bool is_behind(const ObjectName& key, std::string_view kind, std::uint64_t seen);

  /// The key's object is gone.
  void forget(const ObjectName& key);
  std::size_t size() const;

 private:
  struct Write {
    std::string kind;
    std::uint64_t version;
    Instant at;
  };

  Clock& clock_;
  const std::chrono::milliseconds patience_;
  mutable std::mutex mutex_;
  std::unordered_map<ObjectName, std::vector<Write>, ObjectNameHash> writes_;
};

}  // namespace sandboxrun::kube
