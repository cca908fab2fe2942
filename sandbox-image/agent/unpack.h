#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include "operator/base/error.h"
#include "sandbox-image/protocol/work_order.h"

namespace sandboxrun::agent {

struct UnpackOptions {
  protocol::ArchiveFormat format = protocol::ArchiveFormat::Auto;
  protocol::ArchiveLimits limits;
  /// Become this user and group in the parser child (needs root); what is unpacked is theirs.
  std::optional<std::pair<uid_t, gid_t>> owner;
  std::string pixi_unpack;  ///< absolute path of the pixi-unpack program, for PixiPack
  std::stop_token stop;
  std::function<void(std::int64_t entries, std::int64_t bytes)> progress;
};

struct Unpacked {
  std::int64_t entries = 0;
  std::int64_t bytes = 0;
};

/// Unpacks the open archive `archive_fd` into the empty folder `destination_fd`.
/// Guarantees: the archive is parsed in a child process without other descriptors, sockets or
/// environment, that can only write below the destination; every path is resolved with
/// openat2(RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS); on failure the
/// destination is empty again.
/// Assumes: the caller verified the digest of the same open file.
/// Errors: ArchiveUnsafe (names the entry, escaped, and the rule), ArchiveCorrupt, LimitExceeded,
/// Unavailable (no pixi-unpack), Cancelled, System.
Result<Unpacked> unpack(int archive_fd, int destination_fd, const UnpackOptions& options);

}  // namespace sandboxrun::agent
