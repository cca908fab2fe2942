#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "operator/base/error.h"
#include "operator/run/field_error.h"
#include "operator/run/spec.h"
#include "operator/run/validate.h"

/// From a file to a valid run, or to everything that is wrong with it.
namespace sandboxrun::cli {

/// What was read of one manifest.
struct Manifest {
  std::string name;  ///< as it is shown: the path as given, "<stdin>" for "-"
  std::string text;
  run::SandboxRun run;
  std::vector<run::FieldError> errors;  ///< by place in the text; empty: the run is valid
};

/// Reads and checks `path`, or standard input for "-". That a file cannot be read is the one error
/// of its result.
Manifest load_manifest(const std::string& path, const run::Policy& policy, run::Where where);

/// The text of `path`, or of standard input for "-"; at most a manifest's size.
/// Errors say what to do; they don't name the file.
Result<std::string> read_manifest(const std::string& path);

/// One line an error, "run.yaml:7:12  spec.environment.image: ...", harmless on a terminal.
std::string describe_errors(const Manifest& manifest);

}  // namespace sandboxrun::cli
