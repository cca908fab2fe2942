#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "operator/base/document.h"

namespace sandboxrun::run {

/// Which end a refused manifest leads to.
enum class Rule {
  InvalidSpec,   ///< the manifest breaks a rule of the API; only an edit helps
  PolicyDenied,  ///< the manifest is well formed, but the administrator does not allow this value
};
std::string_view to_string(Rule rule);

/// One thing wrong with a manifest.
struct FieldError {
  std::string path;     ///< "spec.assets[1].target"; empty for the document itself
  Mark mark;            ///< where the field (or its nearest parent) is written; 0:0 if unknown
  std::string message;  ///< what was found and what to do; never a secret
  Rule rule = Rule::InvalidSpec;
  friend bool operator==(const FieldError&, const FieldError&) = default;
};

/// "7:12  spec.environment.image: ..."; without a mark, "spec.environment.image: ...".
std::string format(const FieldError& error);

/// Fills in the marks of errors that have none: the field's value in `document`, or the nearest
/// parent that is written there.
void locate(std::vector<FieldError>& errors, const Node& document);

}  // namespace sandboxrun::run
