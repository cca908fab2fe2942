#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "operator/launch/cgroup.h"

namespace sandboxrun::launch {

/// Bytes allocated below the folder `directory`, by every file once; never follows a link.
std::int64_t disk_usage(int directory);

/// Bytes of deleted files on the same file system as `directory` that `processes` still hold open.
std::int64_t deleted_usage(int directory, const std::vector<int>& processes);

/// Measures at once and then each second, as the kubelet does, what a run has on its disk volumes.
/// Guarantees: `exceeded` is called once, from a thread of this object's own.
class DiskWatch {
 public:
  static constexpr std::chrono::milliseconds kInterval{1000};

  DiskWatch(int directory, std::int64_t max_bytes, const Cgroup& cgroup,
            std::function<void()> exceeded);

 private:
  std::jthread thread_;
};

}  // namespace sandboxrun::launch
