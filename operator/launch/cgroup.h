#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "operator/base/error.h"

namespace sandboxrun::launch {

/// The control group of one run, "/sandboxrun-<id>" in every hierarchy (cgroup v1, v2 or both).
/// The runtime makes it; we read it after the run's end and remove it.
class Cgroup {
 public:
  /// `root`: where the hierarchies are mounted; only tests have another one.
  /// Errors: Unavailable, naming the controller (memory, pids, cpu) that this machine lacks.
  static Result<Cgroup> for_run(const std::string& id, const std::string& root = "/sys/fs/cgroup");

  /// As config.json wants it.
  const std::string& path() const { return path_; }
  /// Swap can be limited, or there is none.
  bool limits_swap() const { return limits_swap_; }

  /// The kernel killed a process of the run for its memory limit.
  bool oom_killed() const;
  /// Most memory ever used, in bytes; 0 if the kernel does not tell.
  std::int64_t peak_memory() const;
  /// Sends SIGKILL to every process in it; a process that forks meanwhile does not escape.
  void kill_all() const;
  std::vector<int> processes() const;
  /// Errors: System, if something still lives in it.
  Result<void> remove() const;

 private:
  std::string path_;
  std::string memory_;                    // its folder in the hierarchy that accounts memory
  std::vector<std::string> directories_;  // in every hierarchy
  bool unified_ = false;
  bool limits_swap_ = true;
};

/// Makes the runtime's move of the sandbox into its cgroup quick. The first move in a while holds
/// up whoever makes it until every processor has passed a quiescent state (an RCU grace period,
/// about 10 ms: half of the shortest run); one that follows soon does not wait. This is such a
/// first move, of this process to where it is already, for a thread that has nothing else to do
/// while the bundle is made. It changes nothing, and a failure means nothing.
void open_cgroups_for_moves(const std::string& root = "/sys/fs/cgroup",
                            const std::string& own = "/proc/self/cgroup");

}  // namespace sandboxrun::launch
