#pragma once

#include <string>

#include "operator/base/document.h"

namespace sandboxrun::cli {

/// JSON for people: two spaces a level, members in their order, with a final newline. Pure.
std::string pretty_json(const Node& node);

}  // namespace sandboxrun::cli
