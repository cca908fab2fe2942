#pragma once

#include <string_view>

#include "operator/base/document.h"

namespace sandboxrun::run {

/// One YAML document, its plain scalars typed as kubectl types them (YAML 1.1 with Go's number
/// syntax: `yes` is a bool, `0444` is octal, `1_000` a number, `12:30` a string; a date is the
/// string that is written).
/// Refused, with "line:column": anchors, aliases, merge keys, tags, a second document, duplicate
/// keys, keys that are not strings or numbers, tabs as indentation, bytes that are not UTF-8,
/// control characters, and more than the limits.
Result<Node> parse_yaml(std::string_view text, const DocumentLimits& limits = {});

}  // namespace sandboxrun::run
