#pragma once

#include <vector>

#include "operator/base/document.h"
#include "operator/run/field_error.h"
#include "operator/run/spec.h"

namespace sandboxrun::run {

/// What was read. The run is complete only if there are no errors.
struct Decoded {
  SandboxRun run;
  std::vector<FieldError> errors;
};

/// Reads a SandboxRun from a parsed document, YAML or JSON. All errors are reported together:
/// unknown fields (with the name that was probably meant), wrong types, unknown enum values,
/// missing required fields, another apiVersion or kind. `status` is not looked at.
Decoded decode(const Node& document);

}  // namespace sandboxrun::run
