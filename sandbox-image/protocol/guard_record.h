#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "operator/base/error.h"

namespace sandboxrun::protocol {

/// How the guard saw a run end; the closed list of docs/reference/guard.md.
struct GuardRecord {
  std::string token;    ///< the one-time token that the run was given
  std::string stage;    ///< "guard", "setup" or "run"
  std::string cause;    ///< see docs/reference/guard.md
  std::optional<int> step;  ///< index of the setup step that failed
  int code = 0;         ///< the exit code that the guard ended with
  int signal = 0;       ///< that ended the child, or 0
  bool started = false; ///< the run's command was executed
  std::string message;  ///< the user's own text; untrusted, valid UTF-8
  std::map<std::string, std::string> features;
  friend bool operator==(const GuardRecord&, const GuardRecord&) = default;
};

/// Decodes the last line that the guard wrote.
/// Errors: InvalidInput for anything but one record of a known version.
Result<GuardRecord> decode_guard_record(std::string_view json);

}  // namespace sandboxrun::protocol
