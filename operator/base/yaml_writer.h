#pragma once

#include <string>
#include <string_view>

#include "operator/base/document.h"

namespace sandboxrun {

/// A value as block-style YAML, members in their order, the way kubectl prints objects: two spaces
/// a level, list dashes at the level of their key, multi-line text as a literal block, and strings
/// quoted when a YAML 1.1 or 1.2 reader would take them for anything else.
/// Guarantees: what it prints is read back as the same value by YAML 1.1 and 1.2 readers; it is
/// valid UTF-8 and holds no control characters but newlines. Ends in a newline.
std::string to_yaml(const Node& node);

/// The same for JSON text. Errors: InvalidInput if it is not JSON.
Result<std::string> json_to_yaml(std::string_view json);

}  // namespace sandboxrun
