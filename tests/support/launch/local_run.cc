#include "tests/support/launch/local_run.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "operator/base/json_writer.h"
#include "operator/run/manifest.h"

namespace sandboxrun::test {
namespace {

namespace fs = std::filesystem;

std::string cache_of_setup() {
  if (const char* named = std::getenv("SANDBOXRUN_CACHE")) return named;
  return std::string(std::getenv("HOME")) + "/.cache/sandboxrun";
}

std::string indented(const std::string& text) {
  std::istringstream lines(text);
  std::string out;
  for (std::string line; std::getline(lines, line);) out += "  " + line + "\n";
  return out;
}

/// The folders of control groups that any local run on this machine has.
std::vector<std::string> run_cgroups() {
  std::vector<std::string> found;
  for (const auto& hierarchy : fs::directory_iterator("/sys/fs/cgroup")) {
    if (!hierarchy.is_directory() || hierarchy.is_symlink()) continue;
    if (hierarchy.path().filename().string().starts_with("sandboxrun-")) {
      found.push_back(hierarchy.path());
    }
    std::error_code error;
    for (const auto& group : fs::directory_iterator(hierarchy.path(), error)) {
      const std::string name = group.path().filename();
      if (name.starts_with("sandboxrun-")) found.push_back(group.path());
    }
  }
  return found;
}

}  // namespace

std::string LocalEnd::message() const {
  const auto* succeeded = outcome.status.find(run::ConditionType::Succeeded);
  return succeeded == nullptr ? "" : succeeded->message;
}

std::string file_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  if (!file) throw std::runtime_error("cannot write " + path);
}

std::string locked(const std::string& name) {
  std::ifstream lines(cache_of_setup() + "/environments.lock");
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(name + "=")) return line.substr(name.size() + 1);
  }
  throw std::runtime_error("the lock file has no " + name + "; run ./dev setup");
}

LocalRuns::LocalRuns() {
  std::string pattern = "/var/tmp/sandboxrun-test-XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  folder = pattern;
  chmod(folder.c_str(), 0711);
  options.guard = SANDBOXRUN_BINARY_DIR "/bin/guard";
  options.cache_dir = folder + "/cache";
  options.state_dir = folder + "/state";
  options.base_dir = folder;
  options.results_dir = folder + "/results";
  options.image_layouts = {cache_of_setup() + "/oci"};
  image = locked("LOCK_TINY_IMAGE");
}

LocalRuns::~LocalRuns() {
  fs::remove_all(folder);
}

run::Plan LocalRuns::plan(const std::string& spec) const {
  const std::string text =
      "apiVersion: sandboxrun.dev/v1alpha1\nkind: SandboxRun\nmetadata: {name: test}\nspec:\n" +
      indented(spec.find("environment:") == std::string::npos
                   ? "environment: {image: \"" + image + "\"}\n" + spec
                   : spec);
  const auto checked = run::check_manifest(text, {}, run::Where::Local);
  if (!checked.errors.empty()) {
    std::string all = "the test's manifest is not valid:";
    for (const auto& error : checked.errors) all += "\n" + error.path + ": " + error.message;
    throw std::runtime_error(all);
  }
  return run::make_plan(checked.run);
}

run::Plan LocalRuns::shell(const std::string& text, const std::string& spec) const {
  std::string quoted;
  append_json_string(quoted, text);
  return plan("command: [sh, -c, " + quoted + "]\n" + spec);
}

LocalEnd LocalRuns::run(const run::Plan& wanted, std::stop_token cancel) {
  LocalEnd end;
  launch::Events events;
  events.output = [&](bool is_stderr, std::string_view bytes) {
    (is_stderr ? end.err : end.out) += bytes;
  };
  end.outcome = launch::launch(wanted, options, events, std::move(cancel));
  return end;
}

std::vector<std::string> LocalRuns::leftovers() const {
  std::vector<std::string> found;
  std::error_code error;
  for (const auto& stage : fs::directory_iterator(options.state_dir, error)) {
    const std::string id = stage.path().filename();
    found.push_back("stage " + id);
    for (const std::string& group : run_cgroups()) {
      if (group.ends_with(id)) found.push_back("cgroup " + group);
    }
  }
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    if (line.find(folder) != std::string::npos) found.push_back("mount " + line);
  }
  for (const auto& process : fs::directory_iterator("/proc", error)) {
    std::ifstream lines(process.path() / "cgroup");
    for (std::string line; std::getline(lines, line);) {
      const auto at = line.find("/sandboxrun-run-");
      if (at == std::string::npos) continue;
      const std::string id = line.substr(at + std::string("/sandboxrun-").size());
      if (fs::exists(options.state_dir + "/" + id)) found.push_back("process " + line);
    }
  }
  return found;
}

}  // namespace sandboxrun::test
