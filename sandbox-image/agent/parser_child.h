#pragma once

#include "operator/base/error.h"
#include "sandbox-image/agent/unpack.h"

namespace sandboxrun::agent {

/// Unpacks in a child process that knows nothing: it is this program executed anew (so it has none
/// of its parent's memory), with the archive, the destination and a pipe as its only descriptors,
/// no environment, and confined (confine.h) before it reads a byte of the archive. For PixiPack it
/// becomes the pixi-unpack program.
/// Cancels by killing the child with all that it started. What the child says is checked and
/// escaped, never believed to be safe text.
/// Caveat: on failure, what was written so far stays; the caller removes it. For PixiPack the
/// counts are 0; the caller looks at the tree.
/// Errors: those of unpack().
Result<Unpacked> run_parser_child(int archive_fd, int destination_fd, const UnpackOptions& options);

/// The folder that pixi-unpack gets for its temporary files, below the destination.
inline constexpr const char* kPixiTemporary = ".sandboxrun-tmp";

}  // namespace sandboxrun::agent
