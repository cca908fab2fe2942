#pragma once

#include <string_view>
#include <vector>

#include "operator/base/document.h"
#include "operator/run/decode.h"
#include "operator/run/validate.h"

namespace sandboxrun::run {

/// Reads a manifest as kubectl does: JSON if it is JSON, else YAML.
/// Errors: InvalidInput, beginning with "line:column".
Result<Node> parse_manifest(std::string_view text);

/// A manifest as far as it could be read, with everything that is wrong with it.
struct CheckedManifest {
  SandboxRun run;
  std::vector<FieldError> errors;  ///< by place in the text; empty: make_plan(run) may be called
};

/// Text to checked run in one step: parse, decode, validate. What could not be decoded is reported
/// once, not again by the rules for its value.
CheckedManifest check_manifest(std::string_view text, const Policy& policy, Where where);

/// The same for a manifest that has been parsed.
CheckedManifest check_document(const Node& document, const Policy& policy, Where where);

}  // namespace sandboxrun::run
