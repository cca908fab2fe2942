#pragma once

#include <expected>
#include <string>

#include "operator/cli/manifest.h"
#include "operator/cli/options.h"
#include "operator/launch/launch.h"
#include "operator/run/plan.h"

/// What `run` and `render` do alike: from the command line to what the launcher takes.
namespace sandboxrun::cli {

/// Reads and checks the manifest for this machine, and that all Secrets and ConfigMaps that it
/// names are given. The error is the manifest with all that is wrong with it.
std::expected<run::SandboxRun, Manifest> load_for_this_machine(const Machine& machine);

launch::Options launch_options(const Machine& machine);

}  // namespace sandboxrun::cli
