#pragma once

#include <string_view>

#include "operator/base/document.h"

namespace sandboxrun::run {

/// What a plain (unquoted) YAML scalar means to kubectl, whose YAML reader is a fork of go-yaml
/// version 2: the YAML 1.1 words for bools and null, Go's integer literals (with 0444 octal),
/// decimal floats, underscores between digits. Whole floats within 2^53 become integers, as they
/// do on their way through JSON. Errors: InvalidInput for .inf and .nan, which JSON cannot hold.
/// The result has no mark.
Result<Node> type_plain_scalar(std::string_view text);

}  // namespace sandboxrun::run
