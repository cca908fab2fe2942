#pragma once

#include <memory>

#include "operator/base/error.h"
#include "sandbox-image/agent/byte_source.h"
#include "sandbox-image/protocol/work_order.h"

namespace sandboxrun::agent {

/// What a decompressor may keep of what it has given out: zstd's window (RFC 8878 3.1.1.1.2) and
/// xz's dictionary. Checked against the frame's header before any of it is reserved.
inline constexpr int kMaxWindowLog = 26;

/// Reads the open archive from its start, with pread (its offset stays), and undoes the one
/// compression that `format` names. Auto looks at the first bytes and takes zstd, gzip, xz or plain
/// tar, nothing else. A compression inside a compression is never undone.
/// Assumes: format is not PixiPack; `archive_fd` outlives the source.
/// Errors: ArchiveCorrupt, System.
Result<std::unique_ptr<ByteSource>> open_archive(int archive_fd, protocol::ArchiveFormat format);

}  // namespace sandboxrun::agent
