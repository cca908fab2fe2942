#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "operator/base/error.h"
#include "operator/base/fd.h"

namespace sandboxrun::agent {

using Owner = std::optional<std::pair<uid_t, gid_t>>;

/// Makes the folder `path` (its parent must exist) with `mode` and `owner`; one that is there
/// already gets the mode. No component of the path may be a symbolic link.
/// Errors: Denied (a link or something else in the way), System.
Result<void> make_directory(const std::string& path, std::uint32_t mode, const Owner& owner);

/// Opens the folder `path` for unpacking into, making it if it does not exist.
/// Errors: Denied (not a folder, not empty, or behind a link), System.
Result<UniqueFd> open_empty_directory(const std::string& path, const Owner& owner);

/// Writes `bytes` bytes of `source` (from offset 0) to the new file `path`.
/// Guarantees: never follows a link, never overwrites; on failure no file is left at `path`.
/// Errors: Denied (something is there already, or a link is on the way), System (disk full).
Result<void> place_file(int source, std::int64_t bytes, const std::string& path, std::uint32_t mode,
                        const Owner& owner);

/// Gives everybody the rights to write that the owner has, below and including `directory`: how a
/// writable tree becomes the run's although another user placed it. Links are left alone.
Result<void> let_others_write(int directory);

}  // namespace sandboxrun::agent
