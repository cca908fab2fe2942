#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "operator/base/error.h"
#include "operator/base/time.h"
#include "operator/launch/cgroup.h"
#include "operator/launch/host.h"

namespace sandboxrun::launch {

/// What is executed, and within which bounds.
struct RunRequest {
  const Program& runtime;
  std::string bundle_path;  ///< absolute; holds config.json and the empty folder "runtime"
  std::string id;
  const Cgroup& cgroup;
  std::chrono::seconds start_allowance{0};  ///< until the command's sandbox runs
  std::chrono::seconds run_allowance{0};    ///< behind the guard's own deadline
  std::chrono::seconds grace{0};            ///< between SIGTERM and SIGKILL
  int disk = -1;                            ///< the folder of the disk volumes
  std::int64_t max_disk_bytes = 0;  ///< what the run may write there; 0: no volume is on disk
  std::stop_token cancel;
  std::stop_token hurry;                               ///< after `cancel`: without grace
  std::function<void()> began;                         ///< the sandbox runs
  std::function<void(bool, std::string_view)> output;  ///< is_stderr, bytes
};

/// Why we ended it.
enum class StopKind { Cancelled, StartDeadline, Deadline, DiskExceeded };

struct RunStop {
  StopKind kind = StopKind::Cancelled;
  TimePoint at;
};

/// How the runtime and the sandbox ended.
struct RunEnd {
  bool started = false;       ///< the guard was executed
  std::string runtime_words;  ///< if not: what the runtime said, raw
  int exit_code = 0;          ///< the runtime's: the guard's code, 128 + signal
  std::string record;         ///< what the guard left, raw
  bool oom = false;
  std::int64_t peak_memory = 0;
  std::optional<RunStop> stop;
  TimePoint start;
  TimePoint finish;
  std::int64_t milliseconds = 0;
};

/// Runs the bundle and waits for its end. Nothing of it lives when this returns.
/// Guarantees: the runtime gets no descriptor of ours but /dev/null, two pipes and the record, no
/// environment, and a session of its own; it is killed if the calling thread dies.
/// Errors: System.
Result<RunEnd> run_bundle(const RunRequest& request);

}  // namespace sandboxrun::launch
