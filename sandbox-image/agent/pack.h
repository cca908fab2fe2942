#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>

#include "operator/base/error.h"
#include "operator/base/fd.h"
#include "sandbox-image/protocol/work_order.h"

namespace sandboxrun::agent {

struct PackOptions {
  protocol::ArchiveFormat format = protocol::ArchiveFormat::TarGzip;  ///< TarGzip or TarZstd
  std::int64_t max_bytes = 0;  ///< apparent sizes of all files together
  std::int64_t max_entries = 0;
  std::string staging_dir;  ///< where the unlinked archive is written
  std::stop_token stop;
  std::function<void(std::int64_t entries, std::int64_t bytes)> progress;
};

struct Packed {
  UniqueFd file;  ///< unlinked, at offset 0
  std::string digest;
  std::int64_t bytes = 0;    ///< of the archive
  std::int64_t entries = 0;  ///< files and folders below the root
};

/// Archives what a run left below the folder `root_fd` (promise S7, contract row W15).
/// Guarantees: never follows a link, opens regular files only, reads at most the size that the
/// entry's header declares; owner 0:0, no setuid, setgid or sticky; one bad entry aborts the whole
/// with its name. The order of entries is sorted, so equal trees give equal archives.
/// Errors: ArchiveUnsafe, LimitExceeded, Cancelled, System.
Result<Packed> pack(int root_fd, const PackOptions& options);

}  // namespace sandboxrun::agent
