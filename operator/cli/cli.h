#pragma once

#include <string>
#include <vector>

#include "operator/cli/options.h"

/// The command line: one function a command, each returns the process's exit code.
namespace sandboxrun::cli {

/// Does what `arguments` (without the program's name) ask for, on the process's own standard
/// descriptors.
int run_program(const std::vector<std::string>& arguments, const Surroundings& surroundings);

int run_command(RunOptions options, const Surroundings& surroundings);
int check_command(const CheckOptions& options);
int render_command(RenderOptions options, const Surroundings& surroundings);

}  // namespace sandboxrun::cli
