#include "tests/charts/helm.h"

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <stdexcept>

#include "tests/support/setup_cache.h"
#include "tests/support/temp_dir.h"

namespace sandboxrun::test {
namespace {

std::string quoted(const std::string& argument) {
  std::string out = "'";
  for (const char c : argument) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

}  // namespace

HelmResult helm(const std::vector<std::string>& arguments) {
  const TempDir work;
  std::string line = "cd " + quoted(SANDBOXRUN_SOURCE_DIR) + " && HOME=" + quoted(work / "home");
  line += " " + quoted(setup_cache() + "/tools/bin/helm");
  for (const std::string& argument : arguments) line += " " + quoted(argument);
  line += " 2>" + quoted(work / "err") + " </dev/null";
  FILE* pipe = popen(line.c_str(), "re");
  if (pipe == nullptr) throw std::runtime_error("helm could not be started");
  HelmResult result;
  std::array<char, 4096> buffer{};
  for (std::size_t n = 0; (n = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) {
    result.out.append(buffer.data(), n);
  }
  const int status = pclose(pipe);
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  result.err = read_file(work / "err");
  return result;
}

std::vector<std::string> template_arguments(const std::string& values,
                                            const std::vector<std::string>& set) {
  std::vector<std::string> arguments = {
      "template",    "sandboxrun",        "charts/sandboxrun",
      "--namespace", "sandboxrun-system", "--kube-version",
      "1.37",        "--values",          "tests/charts/values/" + values + ".yaml"};
  for (const std::string& value : set) arguments.insert(arguments.end(), {"--set-json", value});
  return arguments;
}

std::string rendered_chart(const std::string& values, const std::vector<std::string>& set) {
  const HelmResult result = helm(template_arguments(values, set));
  if (result.exit_code != 0) throw std::runtime_error(result.err);
  return result.out;
}

}  // namespace sandboxrun::test
