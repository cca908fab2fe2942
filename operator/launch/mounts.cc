#include "operator/launch/mounts.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ranges>

#include "operator/base/fd.h"
#include "operator/launch/files.h"

namespace sandboxrun::launch {
namespace {

constexpr int kGuardDepth = 20;

/// Volumes hold no devices and no programs with raised rights.
std::vector<std::string> bind_options(bool read_only) {
  return {"bind", "private", "nosuid", "nodev", read_only ? "ro" : "rw"};
}

std::vector<std::string> tmpfs_options(std::int64_t bytes) {
  return {"nosuid", "nodev", "mode=1777", "size=" + std::to_string(bytes)};
}

std::vector<BundleMount> kernel_mounts() {
  return {
      {"proc", "proc", "/proc", {"nosuid", "noexec", "nodev"}},
      {"tmpfs", "tmpfs", "/dev", {"nosuid", "strictatime", "mode=755", "size=65536k"}},
      {"devpts",
       "devpts",
       "/dev/pts",
       {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
      {"tmpfs", "shm", "/dev/shm", tmpfs_options(kShmBytes)},
      {"mqueue", "mqueue", "/dev/mqueue", {"nosuid", "noexec", "nodev"}},
      {"sysfs", "sysfs", "/sys", {"nosuid", "noexec", "nodev", "ro"}},
      {"tmpfs", "tmp", "/tmp", tmpfs_options(kTmpBytes)},
  };
}

bool lies_inside(std::string_view path, std::string_view folder) {
  return path.size() > folder.size() && path.starts_with(folder) && path[folder.size()] == '/';
}

/// Checks one path against the image: nothing there (ENOENT) ends the walk well.
Result<void> check_against_image(const BundleMount& mount, int lower) {
  UniqueFd at(openat(lower, ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  std::string seen;
  std::string_view rest = mount.destination;
  while (at && !rest.empty()) {
    rest.remove_prefix(1);
    const std::string component(rest.substr(0, rest.find('/')));
    rest.remove_prefix(component.size());
    seen += "/" + component;
    UniqueFd next(openat(at.get(), component.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!next) {
      if (errno == ENOENT) return {};
      return system_failure("the image's " + seen, errno);
    }
    struct stat info{};
    if (fstat(next.get(), &info) != 0) return system_failure("the image's " + seen, errno);
    const bool fits = S_ISDIR(info.st_mode) ? !(mount.file && rest.empty())
                                            : mount.file && rest.empty() && S_ISREG(info.st_mode);
    if (!fits) {
      return failure(
          ErrorKind::Denied,
          "the image has " +
              std::string(S_ISLNK(info.st_mode) ? "a symbolic link" : "something unexpected") +
              " at " + seen + ", where the sandbox mounts " + mount.destination +
              "; use an image with plain folders there");
    }
    at = std::move(next);
  }
  return {};
}

/// Makes the folders, and for a file its empty file, below `upper`.
Result<void> make_point(const BundleMount& mount, int upper, std::uint32_t owner) {
  UniqueFd at(openat(upper, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::string_view rest = mount.destination;
  while (!rest.empty()) {
    rest.remove_prefix(1);
    const std::string component(rest.substr(0, rest.find('/')));
    rest.remove_prefix(component.size());
    if (rest.empty() && mount.file) {
      return write_new_file(at.get(), component, "", 0444, "making a mount point");
    }
    auto next = open_directory(at.get(), component, "making a mount point");
    if (!next) {
      // The runtime gives a new tmpfs the mode of the folder that it covers.
      const mode_t mode = mount.destination == "/tmp" ? 01777 : 0755;
      if (auto made = make_owned_directory(at.get(), component, mode, owner); !made) return made;
      next = open_directory(at.get(), component, "making a mount point");
    }
    if (!next) return std::unexpected(next.error());
    at = std::move(*next);
  }
  return {};
}

}  // namespace

std::string guard_path() {
  std::string path = "/.sandboxrun";
  for (int depth = 2; depth < kGuardDepth; ++depth) path += "/" + std::to_string(depth);
  return path + "/guard";
}

std::vector<BundleMount> bundle_mounts(const run::Plan& plan) {
  std::vector<BundleMount> mounts = kernel_mounts();
  for (const run::Mount& mount : run::mounts_for(plan)) {
    std::string source(run::to_string(mount.volume));
    if (!mount.sub_path.empty()) source += "/" + mount.sub_path;
    mounts.push_back({.type = "bind",
                      .source = std::move(source),
                      .destination = mount.target,
                      .options = bind_options(mount.read_only),
                      .file = mount.file});
  }
  mounts.push_back({.type = "bind",
                    .source = "guard",
                    .destination = guard_path(),
                    .options = bind_options(true),
                    .file = true});
  return mounts;
}

Result<void> make_mount_points(const std::vector<BundleMount>& mounts, int lower, int upper,
                               std::uint32_t owner) {
  for (std::size_t i = 0; i < mounts.size(); ++i) {
    const auto inside = [&](const BundleMount& other) {
      return lies_inside(mounts[i].destination, other.destination);
    };
    if (std::ranges::any_of(mounts | std::views::take(i), inside)) continue;
    if (auto checked = check_against_image(mounts[i], lower); !checked) return checked;
    if (auto made = make_point(mounts[i], upper, owner); !made) return made;
  }
  return {};
}

}  // namespace sandboxrun::launch
