#pragma once

#include <string>
#include <string_view>

#include "operator/base/error.h"

namespace sandboxrun::agent {

/// The path of an archive's entry below the folder it is unpacked into: components joined by "/",
/// without "." and empty ones; "" is the folder itself.
/// Errors: ArchiveUnsafe for an absolute or empty name, a ".." component, a NUL, a component over
/// 255 bytes or a name over 4096 bytes. The message doesn't repeat the name.
Result<std::string> entry_path(std::string_view name);

/// Number of components of a path that entry_path() gave.
int depth_of(std::string_view path);

/// Whether a symbolic link at `path` (as entry_path() gives it) may point to `target`: relative,
/// and ".." only at its beginning and at most as often as there are folders above the link.
/// A ".." after a name is refused even where the text stays inside: the name may be a link itself,
/// and then the kernel would go up from somewhere else.
/// Errors: ArchiveUnsafe.
Result<void> check_link_target(std::string_view path, std::string_view target);

/// A file name as it may be shown: in double quotes, control characters, bidirectional overrides
/// and bytes that are not UTF-8 as \xNN, at most about 200 bytes of it.
std::string quote_name(std::string_view name);

/// Text of another program as it may be shown: as quote_name(), without the quotes and the limit.
std::string escaped(std::string_view text);

}  // namespace sandboxrun::agent
