#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <utility>

#include "operator/base/error.h"

namespace sandboxrun::agent {

/// What a process that touches hostile bytes gives up before it does.
struct Confinement {
  int destination = -1;  ///< the only folder below which anything may be written
  std::optional<std::pair<uid_t, gid_t>> owner;  ///< user and group to become (needs root)
  std::int64_t max_file_bytes = 0;               ///< RLIMIT_FSIZE
  /// False: the process stays what it is, a parser: it may not start programs, and it sees no other
  /// file than those below the destination. True: it will start a program, which may read the
  /// system's files and start others.
  bool runs_programs = false;
};

/// Confines the calling process for good: no new privileges, no core, resource limits, the other
/// user, Landlock where the kernel has it, and a seccomp filter without sockets, tracing,
/// namespaces, mounts, keys and io_uring; for a parser a list of the few calls that it needs, all
/// others fail with EPERM.
/// Guarantees: on success each of these holds; only Landlock may be absent (gVisor).
/// Assumes: one thread.
/// Errors: Unavailable for a kernel feature that is missing, System.
Result<void> confine(const Confinement& confinement);

}  // namespace sandboxrun::agent
