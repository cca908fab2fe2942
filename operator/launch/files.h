#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "operator/base/error.h"
#include "operator/base/fd.h"

/// Small helpers around files. None follows a symbolic link in the last component.
namespace sandboxrun::launch {

/// Reads a whole regular file of at most `max_bytes`.
/// Errors: NotFound, LimitExceeded, Denied (not a regular file), System. Messages begin with `what`
/// and hold no path.
Result<std::string> read_small_file(int directory, const std::string& name, std::size_t max_bytes,
                                    std::string_view what);

/// The same for a file that is open already, from its offset on.
Result<std::string> read_open_file(int file, std::size_t max_bytes, std::string_view what);

/// Creates a file that must not exist and writes it whole.
Result<void> write_new_file(int directory, const std::string& name, std::string_view text,
                            mode_t mode, std::string_view what);

/// Makes one folder that must not exist, with exactly this mode and owner.
Result<void> make_owned_directory(int directory, const std::string& name, mode_t mode, uid_t owner);

/// Opens a folder below `directory` without following links in any component.
Result<UniqueFd> open_directory(int directory, const std::string& path, std::string_view what);

/// Removes a file or a whole tree; nothing there is fine. Never leaves the tree by a link, needs a
/// bounded number of descriptors for any depth.
Result<void> remove_tree(int directory, const std::string& name);

/// Whether `path` is absolute and has no empty, "." or ".." component.
bool is_plain_absolute(std::string_view path);

/// Opens the folder `path` for our own use and makes it (mode 0711) if it is missing.
/// Guarantees: no component is a symbolic link; each belongs to root or to us, and none can be
/// changed by others (a sticky folder such as /tmp may be on the way).
/// Errors: Denied, with a message that begins with `what` and tells the rule; System.
Result<UniqueFd> open_trusted_directory(const std::string& path, std::string_view what);

/// Checks that a user who owns nothing on the way can pass through every folder of `path`.
/// Assumes: open_trusted_directory() opened it. Errors: Denied, naming the first folder that it
/// cannot pass; System.
Result<void> check_passable(const std::string& path, std::string_view what);

/// "/proc/self/fd/N": the opened thing itself, whatever happens to its path.
std::string descriptor_path(int fd);

}  // namespace sandboxrun::launch
