#pragma once

#include "operator/base/error.h"

namespace sandboxrun::agent {

enum class FilterKind {
  Parser,    ///< only what reading, writing files and threads take; no program can be started
  Programs,  ///< all but sockets, tracing, namespaces, mounts, keys, io_uring and sessions
};

/// Binds a seccomp filter to the calling thread and all that it starts. Refused calls fail with
/// EPERM; calls by another architecture's table (int 0x80, x32) kill the process.
/// Assumes: PR_SET_NO_NEW_PRIVS is set.
/// Errors: Unavailable.
Result<void> install_filter(FilterKind kind);

}  // namespace sandboxrun::agent
