#pragma once

#include <cstdint>
#include <functional>

#include "operator/base/error.h"
#include "sandbox-image/agent/decompress.h"
#include "sandbox-image/agent/tree_writer.h"
#include "sandbox-image/agent/unpack.h"

namespace sandboxrun::agent {

/// Reads a tar stream (POSIX ustar and pax, GNU, by libarchive) and writes what it holds, checking
/// each entry before it is made; docs/reference/archives.md lists the rules. `source` is read in a
/// thread of its own, so that decompression and file writing overlap. `progress` is called after
/// each entry.
/// Assumes: Utf8Locale is in force, or libarchive cannot give names beyond ASCII.
/// Caveat: on failure, what was written so far stays; the caller removes it.
/// Errors: ArchiveUnsafe, ArchiveCorrupt, LimitExceeded, System; they name the entry.
Result<Unpacked> extract_tar(ByteSource& source, TreeWriter& writer,
                             const protocol::ArchiveLimits& limits,
                             const std::function<void(const Unpacked&)>& progress);

}  // namespace sandboxrun::agent
