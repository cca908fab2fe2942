#include "operator/launch/cache_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "operator/launch/files.h"

namespace sandboxrun::launch {
namespace {

constexpr std::chrono::milliseconds kLockPoll{20};
constexpr std::string_view kPartial = ".partial";

UniqueFd open_lock(int directory, const std::string& name) {
  return UniqueFd(
      openat(directory, (name + ".lock").c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
}

}  // namespace

Result<CacheFolder> CacheFolder::open(const std::string& cache_dir, const std::string& kind) {
  CacheFolder folder;
  folder.path_ = cache_dir + "/" + kind;
  auto opened = open_trusted_directory(folder.path_, "the cache folder");
  if (!opened) return std::unexpected(opened.error());
  folder.directory_ = std::move(*opened);
  return folder;
}

UniqueFd CacheFolder::find(const std::string& name) const {
  return UniqueFd(
      openat(directory_.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

Result<UniqueFd> CacheFolder::lock(const std::string& name, const std::stop_token& stop) const {
  UniqueFd file = open_lock(directory_.get(), name);
  if (!file) return system_failure("locking the cache", errno);
  while (flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return system_failure("locking the cache", errno);
    if (stop.stop_requested()) return failure(ErrorKind::Cancelled, "cancelled");
    std::this_thread::sleep_for(kLockPoll);
  }
  return file;
}

Result<UniqueFd> CacheFolder::begin(const std::string& name) const {
  const std::string partial = name + std::string(kPartial);
  if (auto removed = remove_tree(directory_.get(), partial); !removed) {
    return failure_within("a dead build in the cache", removed.error());
  }
  if (auto made = make_owned_directory(directory_.get(), partial, 0711, 0); !made) {
    return std::unexpected(made.error());
  }
  return open_directory(directory_.get(), partial, "opening the cache");
}

Result<void> CacheFolder::publish(const std::string& name) const {
  if (syncfs(directory_.get()) != 0) return system_failure("writing the cache", errno);
  const std::string partial = name + std::string(kPartial);
  if (renameat(directory_.get(), partial.c_str(), directory_.get(), name.c_str()) != 0) {
    return system_failure("publishing in the cache", errno);
  }
  return {};
}

void CacheFolder::abandon(const std::string& name) const {
  static_cast<void>(remove_tree(directory_.get(), name + std::string(kPartial)));
}

void CacheFolder::sweep() const {
  const int copy = openat(directory_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(copy), &closedir);
  if (!stream) return;
  std::vector<std::string> names;
  while (const dirent* entry = readdir(stream.get())) {
    const std::string_view name = entry->d_name;
    if (name.ends_with(kPartial)) names.emplace_back(name.substr(0, name.size() - kPartial.size()));
  }
  for (const std::string& name : names) {
    const UniqueFd file = open_lock(directory_.get(), name);
    if (file && flock(file.get(), LOCK_EX | LOCK_NB) == 0) abandon(name);
  }
}

}  // namespace sandboxrun::launch
