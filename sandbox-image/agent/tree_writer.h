#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "operator/base/error.h"
#include "operator/base/fd.h"

namespace sandboxrun::agent {

/// Makes files and folders below one folder.
/// Invariants: every parent is opened with openat2(RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS |
/// RESOLVE_NO_SYMLINKS), so no link is ever written through; nothing that exists is opened for
/// writing or replaced; no setuid, setgid or sticky bit is set.
/// Assumes: paths come from entry_path(), the umask is 0, and nobody else writes below the folder.
/// Errors: ArchiveUnsafe (exists already, parent is a link, bad hard link), System. Messages don't
/// name the entry.
class TreeWriter {
 public:
  /// `root` stays the caller's and must outlive the writer.
  explicit TreeWriter(int root) : root_(root) {}

  /// Makes a folder, or gives an existing one this mode. The owner always keeps rwx, so that what
  /// follows can be written and removed.
  Result<void> make_directory(std::string_view path, std::uint32_t mode);
  Result<void> make_symlink(std::string_view path, const std::string& target);
  /// A second name for a regular file that is there already.
  Result<void> make_hard_link(std::string_view path, std::string_view existing);

  /// A file is begun, written in order, and ended; one at a time.
  Result<void> begin_file(std::string_view path, std::uint32_t mode);
  Result<void> write(std::span<const std::byte> bytes);
  /// Closes the file and sets its modification time (seconds since 1970).
  Result<void> end_file(std::int64_t mtime);

 private:
  /// The parent folder of `path`, made if it's missing. Valid until the next call.
  Result<int> parent_of(std::string_view path);
  Result<UniqueFd> make_parents(std::string_view path) const;

  int root_;
  UniqueFd file_;
  UniqueFd parent_;  // of the last entry: the next is mostly in the same folder
  std::string parent_path_;
};

}  // namespace sandboxrun::agent
