#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "operator/base/document.h"
#include "operator/base/fd.h"

namespace sandboxrun::test {

/// A fresh folder that everybody may enter, removed with all it holds.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

struct ProcessEnd {
  int code = -1;  ///< exit code, or 128 + signal; -1 when it had to be killed at the time limit
  std::string out;
  std::string err;
};

struct ProcessSpec {
  std::vector<std::string> argv;  ///< argv[0] is an absolute path
  std::vector<std::string> env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"};
  /// Runs in the child before exec; 0, 1 and 2 are set up already.
  std::function<void()> before_exec;
};

/// A child process whose output goes to files, so that neither a full pipe nor a daemon that keeps
/// one open can hold a test up. Killed by the destructor.
class Process {
 public:
  explicit Process(const ProcessSpec& spec);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  void signal(int number) const;
  /// What it has written to stdout up to now.
  std::string output() const;
  /// Waits until stdout holds `text`; false after `limit`.
  bool wait_for_output(const std::string& text,
                       std::chrono::seconds limit = std::chrono::seconds(20)) const;
  ProcessEnd wait(std::chrono::seconds limit = std::chrono::seconds(60));

 private:
  pid_t pid_ = -1;
  UniqueFd out_;
  UniqueFd err_;
};

ProcessEnd run_process(const ProcessSpec& spec,
                       std::chrono::seconds limit = std::chrono::seconds(60));

std::string read_file(const std::filesystem::path& path);
void write_file(const std::filesystem::path& path, const std::string& content);

/// Where the build puts a program, e.g. built_program("guard").
std::string built_program(const std::string& name);

/// The guard as a plain child of the test, outside a container. It is not PID 1 there, so it ends
/// its own descendants only.
class DirectGuard {
 public:
  /// `arguments` follow --unsafe-skip-environment-checks and --termination-log.
  explicit DirectGuard(std::vector<std::string> arguments, std::vector<std::string> env = {},
                       std::function<void()> before_exec = {});
  Process& process() { return *process_; }
  ProcessEnd wait() { return process_->wait(); }
  std::filesystem::path log() const { return folder_.path() / "log"; }
  const std::filesystem::path& folder() const { return folder_.path(); }
  std::string record_text() const { return read_file(log()); }
  /// The parsed record; fails the test if the log holds anything else.
  Node record() const;

 private:
  TempFolder folder_;
  std::unique_ptr<Process> process_;
};

/// Parses one record line; fails the test if it isn't one line of JSON of at most 4096 bytes.
Node parse_record(const std::string& line);

/// The text, number or truth value under a path of keys such as "features.seccomp", as text; "" if
/// there is none.
std::string field(const Node& record, const std::string& path);

}  // namespace sandboxrun::test
