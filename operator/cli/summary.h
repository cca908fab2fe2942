#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "operator/cli/options.h"
#include "operator/launch/launch.h"
#include "operator/run/status.h"

/// What is said at the end of a run. Pure.
namespace sandboxrun::cli {

/// The last words on a run, harmless on a terminal.
struct Summary {
  bool good = false;
  std::string outcome;  ///< "Succeeded" or "Failed"
  std::string text;     ///< "exit 0   total 4.5 s", "DeadlineExceeded   exit 124   total 3.0 s"
  std::string why;      ///< one or more lines: what happened and what to do; empty if it is good
};
Summary summarize(const launch::Outcome& outcome, std::chrono::milliseconds total);

/// Our own exit code: the program's, but never 0 for a run that did not succeed.
int exit_code(const launch::Outcome& outcome);

/// The run with its status, as a cluster would show it: YAML or JSON with a final newline.
/// Assumes: `format` is not Text.
std::string status_document(std::string_view name, const run::Status& status, Format format);

}  // namespace sandboxrun::cli
