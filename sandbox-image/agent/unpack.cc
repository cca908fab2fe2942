#include "sandbox-image/agent/unpack.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "operator/base/fd.h"
#include "sandbox-image/agent/entry_name.h"
#include "sandbox-image/agent/parser_child.h"
#include "sandbox-image/agent/tree_walk.h"

namespace sandboxrun::agent {

namespace {

using protocol::ArchiveFormat;

/// Gives the child's user what it needs: the folder, and for pixi-unpack, which opens the archive
/// anew by its descriptor's name, the unlinked archive.
Result<void> hand_over(int archive_fd, int destination_fd, const UnpackOptions& options) {
  if (!options.owner) return {};
  const auto [user, group] = *options.owner;
  if (::fchown(destination_fd, user, group) != 0) {
    return system_failure("giving the destination to its owner", errno);
  }
  struct stat status{};
  if (options.format != ArchiveFormat::PixiPack || ::fstat(archive_fd, &status) != 0 ||
      status.st_nlink != 0) {
    return {};
  }
  if (::fchown(archive_fd, user, group) != 0) {
    return system_failure("giving the archive to pixi-unpack's user", errno);
  }
  return {};
}

Result<void> check_program(const std::string& path) {
  if (path.empty() || path.front() != '/') {
    return failure(ErrorKind::Unavailable,
                   "a pixi-pack archive needs the pixi-unpack program, and no absolute path of one "
                   "was given");
  }
  if (::access(path.c_str(), X_OK) == 0) return {};
  return failure(ErrorKind::Unavailable,
                 "pixi-unpack at " + quote_name(path) + " is not there or not executable");
}

/// What the tar reader checks entry by entry, checked on what a program left behind.
Result<Unpacked> check_tree(int destination_fd, const protocol::ArchiveLimits& limits) {
  Unpacked tally;
  const auto check = [&](const WalkEntry& entry) -> Result<void> {
    ++tally.entries;
    const mode_t mode = entry.status.st_mode;
    if (S_ISDIR(mode)) return {};
    if (S_ISLNK(mode)) {
      std::array<char, 4096> target{};
      const ssize_t size = ::readlinkat(entry.fd, "", target.data(), target.size());
      if (size < 0) return system_failure("reading the link", errno);
      return check_link_target(entry.path, {target.data(), static_cast<std::size_t>(size)});
    }
    if (!S_ISREG(mode)) {
      return failure(ErrorKind::ArchiveUnsafe, "it is neither file, folder nor link");
    }
    if ((mode & (S_ISUID | S_ISGID)) != 0) {
      return failure(ErrorKind::ArchiveUnsafe, "it is a file with the setuid or setgid bit");
    }
    tally.bytes += entry.status.st_size;
    if (tally.bytes <= limits.max_bytes) return {};
    return failure(
        ErrorKind::LimitExceeded,
        "the archive holds more than " + std::to_string(limits.max_bytes) + " bytes of files");
  };
  const auto walked = walk_tree(
      destination_fd, {.max_entries = limits.max_entries, .max_depth = limits.max_depth}, check);
  if (!walked) return std::unexpected(walked.error());
  return tally;
}

Result<void> remove_temporary(int destination_fd) {
  const UniqueFd folder(
      ::openat(destination_fd, kPixiTemporary, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder && errno == ENOENT) return {};
  if (!folder) return system_failure("opening pixi-unpack's temporary folder", errno);
  if (auto emptied = empty_folder(folder.get()); !emptied) return emptied;
  if (::unlinkat(destination_fd, kPixiTemporary, AT_REMOVEDIR) == 0) return {};
  return system_failure("removing pixi-unpack's temporary folder", errno);
}

Result<Unpacked> unpack_pixi(int archive_fd, int destination_fd, const UnpackOptions& options) {
  const auto ran = run_parser_child(archive_fd, destination_fd, options);
  if (!ran) return ran;
  if (auto removed = remove_temporary(destination_fd); !removed) {
    return std::unexpected(removed.error());
  }
  return check_tree(destination_fd, options.limits);
}

}  // namespace

Result<Unpacked> unpack(int archive_fd, int destination_fd, const UnpackOptions& options) {
  const bool pixi = options.format == ArchiveFormat::PixiPack;
  if (pixi) {
    if (auto program = check_program(options.pixi_unpack); !program) {
      return std::unexpected(program.error());
    }
  }
  const auto empty = is_empty_folder(destination_fd);
  if (!empty) return failure_within("the destination", empty.error());
  if (!*empty) {
    return failure(ErrorKind::InvalidInput,
                   "the destination is not empty; archives are unpacked into a fresh folder only");
  }
  if (auto handed = hand_over(archive_fd, destination_fd, options); !handed) {
    return std::unexpected(handed.error());
  }
  auto unpacked = pixi ? unpack_pixi(archive_fd, destination_fd, options)
                       : run_parser_child(archive_fd, destination_fd, options);
  if (unpacked) return unpacked;
  if (const auto emptied = empty_folder(destination_fd); !emptied) {
    Error error = unpacked.error();
    error.message +=
        " (and what was unpacked could not be removed: " + emptied.error().message + ")";
    return std::unexpected(error);
  }
  return unpacked;
}

}  // namespace sandboxrun::agent
