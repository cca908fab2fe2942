#pragma once

#include <string>
#include <string_view>

namespace sandboxrun::run {

/// Text of anybody made fit for a status: valid UTF-8; control characters written as \n, \t or
/// \x1b; the query and the userinfo of every http(s) URL replaced by "..."; cut at a character to
/// `max_bytes`, then ending in "...".
std::string clean_text(std::string_view text, std::size_t max_bytes);

}  // namespace sandboxrun::run
