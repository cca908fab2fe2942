#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "operator/cli/cli.h"

int main(int argc, char** argv) {
  std::error_code error;
  const sandboxrun::cli::Surroundings surroundings{
      .program = std::filesystem::read_symlink("/proc/self/exe", error).string(),
      .root = geteuid() == 0,
      .uid = geteuid(),
      .environment = [](const char* name) -> const char* { return std::getenv(name); },
  };
  return sandboxrun::cli::run_program(
      std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc), surroundings);
}
