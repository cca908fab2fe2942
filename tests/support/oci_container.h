#pragma once

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "tests/support/guard_process.h"

namespace sandboxrun::test {

enum class Runtime { Runc, Runsc };

std::string to_string(Runtime runtime);
/// For GoogleTest.
void PrintTo(Runtime runtime, std::ostream* out);

/// A hardened container in whose place of PID 1 the guard runs. The defaults are what a run gets;
/// tests switch single promises off to see the guard refuse.
struct ContainerSpec {
  Runtime runtime = Runtime::Runc;
  std::vector<std::string> guard_arguments;  ///< after the guard's name
  std::vector<std::string> env;              ///< beside PATH and HOME
  bool read_only_root = true;
  bool user_namespace = true;
  bool seccomp_profile = true;
  bool capabilities = false;
};

/// One container of a real OCI runtime: the machine's /usr and /etc bound read-only, the folder of
/// built test programs at /test, a termination log that the run may write, no network. Runtime
/// state, bundle, mounts and processes are gone after the destructor.
/// Assumes: root. Throws if the runtime's program is missing: a test must not pass without it.
class Container {
 public:
  explicit Container(const ContainerSpec& spec);
  ~Container();
  Container(const Container&) = delete;
  Container& operator=(const Container&) = delete;

  Process& process() { return *process_; }
  ProcessEnd wait() { return process_->wait(std::chrono::seconds(100)); }
  /// Sends a signal to PID 1 from outside, as a node agent would.
  void kill(const std::string& signal_name) const;
  std::string record_text() const { return read_file(folder_.path() / "termination-log"); }
  Node record() const { return parse_record(record_text()); }

 private:
  std::vector<std::string> runtime_command(const std::vector<std::string>& arguments) const;

  TempFolder folder_;
  Runtime runtime_;
  std::string id_;
  std::unique_ptr<Process> process_;
};

}  // namespace sandboxrun::test
