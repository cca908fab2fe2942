#pragma once

#include <span>
#include <string>
#include <string_view>

/// Words for error messages.
namespace sandboxrun::run {

/// `value` in double quotes, escaped as in JSON and cut to what fits in a line.
std::string quoted(std::string_view value);

/// "a, b and c"
std::string listed(std::span<const std::string_view> names);

/// The name that was probably meant by `written`, or empty: at most a third of the letters differ,
/// or only their case.
std::string_view nearest(std::string_view written, std::span<const std::string_view> names);

/// "path.name", or "name" at the root.
std::string member_path(std::string_view path, std::string_view name);
/// "path[3]"
std::string item_path(std::string_view path, std::size_t index);

}  // namespace sandboxrun::run
