#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <vector>

#include "operator/launch/cgroup.h"
#include "operator/launch/files.h"
#include "operator/launch/launch.h"

namespace sandboxrun::launch {
namespace {

constexpr std::string_view kStagePrefix = "run-";

std::vector<std::string> stages_in(int directory) {
  std::vector<std::string> names;
  const int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(copy), &closedir);
  if (!stream) return names;
  while (const dirent* entry = readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (name.starts_with(kStagePrefix)) names.push_back(name);
  }
  return names;
}

/// Ends what still runs for a dead stage (its launcher was killed, the sandbox was not) and removes
/// its files. The mounts lived in the launcher's namespace and are gone with its processes.
Result<void> remove_dead(int parent, const std::string& id) {
  auto group = Cgroup::for_run(id);
  if (group) {
    group->kill_all();
    if (auto removed = group->remove(); !removed) return removed;
  }
  return remove_tree(parent, id);
}

}  // namespace

Result<int> reap(const std::string& state_dir, const std::string& /*runtime*/) {
  auto parent = open_trusted_directory(state_dir, "the state folder");
  if (!parent) return std::unexpected(parent.error());
  int count = 0;
  for (const std::string& id : stages_in(parent->get())) {
    const UniqueFd stage(
        openat(parent->get(), id.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!stage || flock(stage.get(), LOCK_EX | LOCK_NB) != 0) continue;
    if (auto removed = remove_dead(parent->get(), id); !removed) {
      return failure_within("removing what a dead run left (" + id + ")", removed.error());
    }
    ++count;
  }
  return count;
}

}  // namespace sandboxrun::launch
