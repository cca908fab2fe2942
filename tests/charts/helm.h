#pragma once

#include <string>
#include <vector>

namespace sandboxrun::test {

/// How a call of helm ended.
struct HelmResult {
  int exit_code = -1;
  std::string out;
  std::string err;
};

/// Calls the helm that tests/tools builds, from the top of the sources.
HelmResult helm(const std::vector<std::string>& arguments);

/// The chart sandboxrun rendered for Kubernetes 1.37 with tests/charts/values/NAME.yaml and
/// further `--set` values. Throws std::runtime_error with what helm said if it fails.
std::string rendered_chart(const std::string& values, const std::vector<std::string>& set = {});

/// The arguments of the same call.
std::vector<std::string> template_arguments(const std::string& values,
                                            const std::vector<std::string>& set = {});

}  // namespace sandboxrun::test
