#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "operator/base/fd.h"

namespace sandboxrun::test {

/// How a call of the program `sandboxrun` ended.
struct CliResult {
  int exit_code = -1;  ///< 128 + N if signal N ended it
  std::string out;
  std::string err;
};

/// Calls the program that was built, with nothing in its environment but PATH and `environment`.
CliResult run_cli(const std::vector<std::string>& arguments, std::string_view input = {},
                  const std::vector<std::string>& environment = {});

/// The program on a pseudo-terminal of 80 columns, as a person would start it.
class CliOnTerminal {
 public:
  explicit CliOnTerminal(const std::vector<std::string>& arguments);
  ~CliOnTerminal();
  CliOnTerminal(const CliOnTerminal&) = delete;
  CliOnTerminal& operator=(const CliOnTerminal&) = delete;

  /// Reads until `text` has appeared; false if the program ended or 30 s passed before.
  bool wait_for(std::string_view text);
  /// As if typed: "\x03" is Ctrl-C.
  void type(std::string_view keys);
  /// Reads to the end; the exit code as in CliResult.
  int finish();
  /// Everything that has been on the screen.
  const std::string& screen() const { return screen_; }

 private:
  bool read_some(int milliseconds);

  pid_t pid_ = -1;
  UniqueFd terminal_;
  std::string screen_;
};

/// A value of the lock file.
std::string locked(std::string_view key);

}  // namespace sandboxrun::test
