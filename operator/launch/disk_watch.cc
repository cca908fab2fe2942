#include "operator/launch/disk_watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "operator/base/fd.h"

namespace sandboxrun::launch {
namespace {

constexpr std::int64_t kBlock = 512;  // of st_blocks
constexpr int kMaxLevels = 256;       // deeper folders hold bytes that are not counted

using Directory = std::unique_ptr<DIR, int (*)(DIR*)>;
using Seen = std::set<std::pair<dev_t, ino_t>>;

Directory open_stream(int directory, const char* name) {
  const int opened = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  Directory stream(opened < 0 ? nullptr : fdopendir(opened), &closedir);
  if (!stream && opened >= 0) close(opened);
  return stream;
}

std::int64_t usage_below(int directory, const char* name, int level, Seen& seen) {
  const Directory stream = open_stream(directory, name);
  if (!stream || level > kMaxLevels) return 0;
  std::int64_t bytes = 0;
  while (const dirent* entry = readdir(stream.get())) {
    const std::string child = entry->d_name;
    if (child == "." || child == "..") continue;
    struct stat info{};
    if (fstatat(dirfd(stream.get()), child.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (info.st_nlink > 1 && !S_ISDIR(info.st_mode) &&
        !seen.insert({info.st_dev, info.st_ino}).second) {
      continue;
    }
    bytes += info.st_blocks * kBlock;
    if (S_ISDIR(info.st_mode)) {
      bytes += usage_below(dirfd(stream.get()), child.c_str(), level + 1, seen);
    }
  }
  return bytes;
}

void watch(const std::stop_token& stop, int directory, std::int64_t max_bytes, const Cgroup& cgroup,
           const std::function<void()>& exceeded) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  do {
    std::int64_t bytes = disk_usage(directory);
    if (bytes <= max_bytes) bytes += deleted_usage(directory, cgroup.processes());
    if (bytes > max_bytes) {
      exceeded();
      return;
    }
  } while (!wake.wait_for(lock, stop, DiskWatch::kInterval, [&] { return stop.stop_requested(); }));
}

}  // namespace

std::int64_t disk_usage(int directory) {
  Seen seen;
  return usage_below(directory, ".", 0, seen);
}

std::int64_t deleted_usage(int directory, const std::vector<int>& processes) {
  struct stat home{};
  if (fstat(directory, &home) != 0) return 0;
  Seen seen;
  std::int64_t bytes = 0;
  for (const int pid : processes) {
    const Directory stream =
        open_stream(AT_FDCWD, ("/proc/" + std::to_string(pid) + "/fd").c_str());
    if (!stream) continue;
    while (const dirent* entry = readdir(stream.get())) {
      struct stat info{};
      if (fstatat(dirfd(stream.get()), entry->d_name, &info, 0) != 0) continue;
      const bool counts = S_ISREG(info.st_mode) && info.st_nlink == 0 && info.st_dev == home.st_dev;
      if (counts && seen.insert({info.st_dev, info.st_ino}).second)
        bytes += info.st_blocks * kBlock;
    }
  }
  return bytes;
}

DiskWatch::DiskWatch(int directory, std::int64_t max_bytes, const Cgroup& cgroup,
                     std::function<void()> exceeded)
    : thread_([directory, max_bytes, &cgroup,
               exceeded = std::move(exceeded)](const std::stop_token& stop) {
        watch(stop, directory, max_bytes, cgroup, exceeded);
      }) {}

}  // namespace sandboxrun::launch
