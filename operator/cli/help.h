#pragma once

#include <string_view>

namespace sandboxrun::cli {

/// What `sandboxrun --help` and `sandboxrun COMMAND --help` print. Assumes: a known command, or "".
std::string_view help_text(std::string_view command);

}  // namespace sandboxrun::cli
