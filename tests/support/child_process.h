#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "operator/base/fd.h"

namespace sandboxrun::test {

/// A program that runs beside a test and is killed and reaped with the object, by its pid.
/// Its standard input is a pipe that nobody writes to, so that it can notice the test's death.
class ChildProcess {
 public:
  /// `argv[0]` is an absolute path. Output goes to `output_file`; empty: to `read_line`.
  /// Throws std::runtime_error when it cannot be started.
  explicit ChildProcess(const std::vector<std::string>& argv, const std::string& output_file = "");
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  /// The next line of its standard output, without the line end; what there was if it ended.
  std::string read_line();
  pid_t pid() const { return pid_; }
  bool is_running();

 private:
  pid_t pid_ = -1;
  bool reaped_ = false;
  UniqueFd input_;
  UniqueFd output_;
};

/// Runs a program to its end. Throws std::runtime_error, with its output, unless it exits with 0.
/// Returns its standard output.
std::string run_program(const std::vector<std::string>& argv);

}  // namespace sandboxrun::test
