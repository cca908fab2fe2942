#include "operator/kube/store_gate.h"

#include <algorithm>

namespace sandboxrun::kube {

WriteGate::WriteGate(Clock& clock, std::chrono::milliseconds patience)
    : clock_(clock), patience_(patience) {}

void WriteGate::wrote(const ObjectName& key, std::string_view kind,
                      std::string_view resource_version) {
  const auto version = version_number(resource_version);
  if (!version) return;
  const std::lock_guard lock(mutex_);
  auto& writes = writes_[key];
  const auto same = std::ranges::find(writes, kind, &Write::kind);
  if (same == writes.end()) {
    writes.push_back({std::string(kind), *version, clock_.now()});
  } else if (*version > same->version) {
    same->version = *version;
    same->at = clock_.now();
  }
}

bool WriteGate::is_behind(const ObjectName& key, std::string_view kind, std::uint64_t seen) {
  const std::lock_guard lock(mutex_);
  const auto found = writes_.find(key);
  if (found == writes_.end()) return false;
  auto& writes = found->second;
  const auto write = std::ranges::find(writes, kind, &Write::kind);
  if (write == writes.end()) return false;
  if (seen < write->version && clock_.now() - write->at < patience_) return true;
  writes.erase(write);
  if (writes.empty()) writes_.erase(found);
  return false;
}

void WriteGate::forget(const ObjectName& key) {
  const std::lock_guard lock(mutex_);
  writes_.erase(key);
}

std::size_t WriteGate::size() const {
  const std::lock_guard lock(mutex_);
  return writes_.size();
}

}  // namespace sandboxrun::kube
