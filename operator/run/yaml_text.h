#pragma once

#include <string_view>

#include "operator/base/error.h"

namespace sandboxrun::run {

/// What no YAML parser should see, or two of them would read differently: bytes that are not
/// UTF-8, a byte order mark, control characters, Unicode line breaks, tabs as indentation,
/// directives. Errors: InvalidInput, beginning with "line:column".
Result<void> check_yaml_text(std::string_view text);

}  // namespace sandboxrun::run
