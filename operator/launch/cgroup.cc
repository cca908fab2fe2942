#include "operator/launch/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <fstream>
#include <memory>
#include <sstream>
#include <thread>

#include "operator/base/fd.h"

namespace sandboxrun::launch {
namespace {

constexpr std::chrono::seconds kRemovalPatience{5};

bool exists(const std::string& path) {
  return access(path.c_str(), F_OK) == 0;
}

std::unexpected<Error> lacking(std::string_view controller) {
  return failure(ErrorKind::Unavailable,
                 "the cgroup controller \"" + std::string(controller) +
                     "\" is missing; enable it at boot. Nothing runs without its limits");
}

/// The value of `key` in a file of "key value" lines, or 0.
std::int64_t counter(const std::string& file, std::string_view key) {
  std::ifstream lines(file);
  std::string name;
  std::int64_t value = 0;
  while (lines >> name >> value) {
    if (name == key) return value;
  }
  return 0;
}

std::int64_t number_in(const std::string& file) {
  std::int64_t value = 0;
  std::ifstream(file) >> value;
  return value;
}

std::vector<std::string> hierarchies(const std::string& root) {
  std::vector<std::string> found;
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(opendir(root.c_str()), &closedir);
  if (!stream) return found;
  while (const dirent* entry = readdir(stream.get())) {
    const std::string name = entry->d_name;
    // cpu and the like may be links to cpu,cpuacct: the folder itself is enough.
    if (name[0] == '.' || entry->d_type == DT_LNK) continue;
    const std::string path = root + "/" + name;
    if (exists(path + "/cgroup.procs")) found.push_back(path);
  }
  return found;
}

bool machine_has_swap() {
  std::ifstream swaps("/proc/swaps");
  std::string line;
  std::getline(swaps, line);
  return static_cast<bool>(std::getline(swaps, line));
}

}  // namespace

Result<Cgroup> Cgroup::for_run(const std::string& id, const std::string& root) {
  Cgroup group;
  group.path_ = "/sandboxrun-" + id;
  if (exists(root + "/cgroup.controllers")) {
    std::ifstream file(root + "/cgroup.controllers");
    std::string all;
    std::getline(file, all);
    for (const std::string_view controller : {"memory", "pids", "cpu"}) {
      if ((" " + all + " ").find(" " + std::string(controller) + " ") == std::string::npos) {
        return lacking(controller);
      }
    }
    group.unified_ = true;
    group.memory_ = root + group.path_;
    group.directories_ = {group.memory_};
    return group;
  }
  if (!exists(root + "/memory/memory.limit_in_bytes")) return lacking("memory");
  if (!exists(root + "/pids/cgroup.procs")) return lacking("pids");
  if (!exists(root + "/cpu/cpu.cfs_quota_us") && !exists(root + "/cpu/cpu.shares")) {
    return lacking("cpu");
  }
  group.limits_swap_ = exists(root + "/memory/memory.memsw.limit_in_bytes");
  if (!group.limits_swap_ && machine_has_swap()) {
    return failure(ErrorKind::Unavailable,
                   "swap cannot be limited here; boot with swapaccount=1 or switch swap off");
  }
  group.memory_ = root + "/memory" + group.path_;
  for (const std::string& hierarchy : hierarchies(root)) {
    group.directories_.push_back(hierarchy + group.path_);
  }
  return group;
}

bool Cgroup::oom_killed() const {
  return counter(memory_ + (unified_ ? "/memory.events" : "/memory.oom_control"), "oom_kill") > 0;
}

std::int64_t Cgroup::peak_memory() const {
  return number_in(memory_ + (unified_ ? "/memory.peak" : "/memory.max_usage_in_bytes"));
}

std::vector<int> Cgroup::processes() const {
  std::vector<int> all;
  for (const std::string& directory : directories_) {
    std::ifstream lines(directory + "/cgroup.procs");
    for (int pid = 0; lines >> pid;) all.push_back(pid);
  }
  return all;
}

void Cgroup::kill_all() const {
  if (unified_ && exists(memory_ + "/cgroup.kill")) {  // since Linux 5.14
    std::ofstream(memory_ + "/cgroup.kill") << "1";
    return;
  }
  for (const int pid : processes()) kill(pid, SIGKILL);
}

Result<void> Cgroup::remove() const {
  const auto give_up = std::chrono::steady_clock::now() + kRemovalPatience;
  for (const std::string& directory : directories_) {
    // A killed process leaves its group a moment after its parent saw it end.
    while (rmdir(directory.c_str()) != 0 && errno != ENOENT) {
      const int reason = errno;
      if (reason != EBUSY || std::chrono::steady_clock::now() >= give_up) {
        return system_failure("removing the run's cgroup", reason);
      }
      kill_all();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  return {};
}

void open_cgroups_for_moves(const std::string& root, const std::string& own) {
  // cgroups(7): "hierarchy-ID:controller-list:path", the unified hierarchy with neither.
  std::ifstream groups(own);
  for (std::string line; std::getline(groups, line);) {
    const std::size_t controllers = line.find(':') + 1;
    const std::size_t path = line.find(':', controllers);
    if (controllers == 0 || path == std::string::npos) continue;
    std::string name = line.substr(controllers, path - controllers);
    if (name.starts_with("name=")) name.erase(0, 5);
    const std::string folder = root + (name.empty() ? "" : "/" + name) + line.substr(path + 1);
    const UniqueFd members(open((folder + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
    if (members && write(members.get(), "0", 1) == 1) return;
  }
}

}  // namespace sandboxrun::launch
