#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <string>

#include "operator/base/error.h"

namespace sandboxrun::agent {

struct WalkLimits {
  std::int64_t max_entries = 0;
  int max_depth = 64;
};

struct WalkEntry {
  std::string path;      ///< below the root, components joined by "/"
  int fd = -1;           ///< open with O_PATH on the entry itself, not on what a link points to
  struct stat status{};  ///< of that very file
};

/// Visits all that is below `root`, each folder before what it holds, names sorted by byte. Follows
/// no link and opens no file: each name is opened with O_PATH | O_NOFOLLOW first and judged by that
/// descriptor, so whoever changes the tree meanwhile cannot make it look at something else.
/// Errors: LimitExceeded, ArchiveUnsafe (an entry vanished), System, and whatever `visit` gives;
/// they name the entry.
Result<void> walk_tree(int root, const WalkLimits& limits,
                       const std::function<Result<void>(const WalkEntry&)>& visit);

/// Removes all that is below `root`, which stays; follows no link.
Result<void> empty_folder(int root);

/// Whether there is nothing in the folder.
Result<bool> is_empty_folder(int folder);

}  // namespace sandboxrun::agent
