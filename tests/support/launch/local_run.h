#pragma once

#include <string>
#include <vector>

#include "operator/launch/launch.h"
#include "operator/run/plan.h"

/// Local runs for tests: a plan from a few lines of YAML, a place of its own for each test, and a
/// look at what was left behind.
namespace sandboxrun::test {

/// What launch() gave, with what the program wrote.
struct LocalEnd {
  launch::Outcome outcome;
  std::string out;
  std::string err;

  std::string reason() const { return std::string(run::to_string(outcome.status.reason())); }
  std::string message() const;
};

/// A state folder, a cache and a results folder of one test, gone after it.
/// Assumes: root, and the images that `./dev setup` makes.
class LocalRuns {
 public:
  LocalRuns();
  ~LocalRuns();
  LocalRuns(const LocalRuns&) = delete;
  LocalRuns& operator=(const LocalRuns&) = delete;

  /// `spec` is the YAML below "spec:", indented by two; the tiny image is added. Throws with all
  /// errors if the manifest is not valid.
  run::Plan plan(const std::string& spec) const;
  /// A plan that runs this shell text in the tiny image, with more lines of spec.
  run::Plan shell(const std::string& text, const std::string& spec = "") const;
  LocalEnd run(const run::Plan& plan, std::stop_token cancel = {});
  LocalEnd run_shell(const std::string& text, const std::string& spec = "") {
    return run(shell(text, spec));
  }

  launch::Options options;
  std::string folder;  ///< absolute; owned by root
  std::string image;   ///< the tiny image's reference

  /// Everything of ours that is still on this machine: stages, cgroups, mounts, processes.
  std::vector<std::string> leftovers() const;
};

/// A value of the lock file that `./dev setup` wrote. Throws if there is none.
std::string locked(const std::string& name);

std::string file_text(const std::string& path);
void write_text(const std::string& path, const std::string& text);

}  // namespace sandboxrun::test
