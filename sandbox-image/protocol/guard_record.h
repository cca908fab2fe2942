#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "operator/base/error.h"

namespace sandboxrun::protocol {

inline constexpr int kGuardRecordVersion = 1;
inline constexpr std::size_t kMaxGuardRecordBytes = 4096;

/// What was under way when the end came.
enum class GuardStage { Guard, Setup, Run };

/// Why it ended: the closed list of docs/reference/guard.md.
enum class GuardCause {
  GuardFailed,
  SetupFailed,
  SetupTimeout,
  Stopped,
  Exited,
  Signaled,
  Deadline,
  NotFound,
  NotExecutable,
};
std::string_view to_string(GuardStage stage);
std::string_view to_string(GuardCause cause);

/// How the guard saw a run end.
struct GuardRecord {
  std::string token;  ///< the one-time token that the run was given
  GuardStage stage = GuardStage::Guard;
  GuardCause cause = GuardCause::GuardFailed;
  std::optional<int> step;        ///< index of the setup step that failed
  int code = 0;                   ///< the exit code that the guard ended with
  std::optional<int> child_code;  ///< of the step or command, if it exited
  int signal = 0;                 ///< that ended the step or command, or 0
  bool started = false;           ///< the run's command was executed
  std::string detail;             ///< the guard's own words about a failure
  std::string message;            ///< the user's own text; untrusted, valid UTF-8
  std::map<std::string, std::string> features;
  friend bool operator==(const GuardRecord&, const GuardRecord&) = default;
};

/// Decodes the last line that the guard wrote.
/// Errors: InvalidInput for anything but one record of a known version.
Result<GuardRecord> decode_guard_record(std::string_view json);

}  // namespace sandboxrun::protocol
