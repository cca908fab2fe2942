// Feeds bytes to the guard's command line parser, an argument a line. What is accepted is within
// its bounds; what is refused is refused with one printable line.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

extern "C" {
#include "sandbox-image/guard/options.h"
}

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

bool is_printable(char c) {
  return c >= 0x20 && c < 0x7f;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::string> line = {"guard"};
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    line.emplace_back(std::string(text.substr(at, end - at)).c_str());
    at = end + 1;
  }
  std::vector<char*> argv;
  for (std::string& word : line) argv.push_back(word.data());
  argv.push_back(nullptr);

  guard_options options;
  char error[256] = "";
  const int argc = static_cast<int>(line.size());
  const auto result = guard_parse_options(argc, argv.data(), &options, error, sizeof(error));
  if (result == kParseError) {
    const std::string_view message(error, ::strnlen(error, sizeof(error)));
    require(!message.empty() && message.size() < sizeof(error));
    require(std::ranges::all_of(message, is_printable));
  }
  if (result != kParseOk) return 0;
  char** const end = argv.data() + argc;
  require(options.command_argc >= 1 && options.command + options.command_argc == end);
  require(options.deadline_seconds == -1 || options.deadline_seconds >= 1);
  require(options.grace_seconds >= 0 && options.grace_seconds <= 3600);
  require(options.record_fd == -1 || options.record_fd >= 3);
  require(options.step_count >= 0 && options.step_count <= kMaxSteps);
  for (int i = 0; i < options.step_count; ++i) {
    require(options.steps[i].timeout_seconds >= 1 && options.steps[i].argc >= 1);
    require(options.steps[i].argv + options.steps[i].argc <= end);
  }
  return 0;
}
