#pragma once

#include <cstdint>
#include <string>

#include "operator/base/error.h"

/// What the machine must offer before anything of a run is touched.
namespace sandboxrun::launch {

/// Ids inside the sandbox, the same as in a pod.
inline constexpr std::uint32_t kRunId = 64000;      ///< the run and its results
inline constexpr std::uint32_t kPrepareId = 64001;  ///< what was placed for it
inline constexpr std::uint32_t kMappedIds = 65536;

/// A program that may be executed.
struct Program {
  std::string path;  ///< without symbolic links; only root can put something else there
};

/// Checks a configured program: absolute path without "." and "..", a regular executable file
/// behind it that, like every folder on the way, only root can change.
/// Errors: Unavailable (missing), Denied (the rule it breaks). Messages name `what`, not the path.
Result<Program> open_program(const std::string& path, std::string_view what);

/// The first of kMappedIds host ids that only runs use: `configured`, else root's range in
/// /etc/subuid and /etc/subgid, else 200000. Errors: Unavailable, InvalidInput.
Result<std::uint32_t> subordinate_base(std::uint32_t configured);

/// Checks that we are root and that the kernel has user namespaces and overlays.
/// Errors: Unavailable, naming the feature and how to get it.
Result<void> check_kernel();

}  // namespace sandboxrun::launch
