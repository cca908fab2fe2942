#include "operator/launch/stage_folder.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "operator/base/random.h"
#include "operator/launch/files.h"

namespace sandboxrun::launch {
namespace {

constexpr const char* kBundleOptions = "size=32m,nr_inodes=4096,mode=0700";
constexpr int kCreateAttempts = 16;

Result<void> bind(int source, const std::string& target, unsigned long flags,
                  std::string_view what) {
  if (mount(descriptor_path(source).c_str(), target.c_str(), nullptr, MS_BIND, nullptr) != 0 ||
      mount(nullptr, target.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | flags,
            nullptr) != 0) {
    return system_failure(what, errno);
  }
  return {};
}

/// Locks a folder that was just made. False: a reaper took it in between.
bool lock_new(int parent, const std::string& name, int directory) {
  if (flock(directory, LOCK_EX | LOCK_NB) != 0) return false;
  struct stat held{};
  struct stat named{};
  return fstat(directory, &held) == 0 &&
         fstatat(parent, name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         held.st_ino == named.st_ino && held.st_dev == named.st_dev;
}

}  // namespace

Result<void> enter_private_mounts() {
  if (unshare(CLONE_NEWNS) != 0 ||
      mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return failure(ErrorKind::Unavailable,
                   "cannot make a mount namespace (CAP_SYS_ADMIN is needed): " +
                       system_failure("unshare", errno).error().message);
  }
  return {};
}

Result<StageFolder> StageFolder::create(const std::string& state_dir, std::uint32_t id_base) {
  auto parent = open_trusted_directory(state_dir, "the state folder");
  if (!parent) return std::unexpected(parent.error());
  if (auto passable = check_passable(state_dir, "the state folder (--state-dir)"); !passable) {
    return std::unexpected(passable.error());
  }
  StageFolder stage;
  stage.parent_ = std::move(*parent);
  stage.id_base_ = id_base;
  bool locked = false;
  for (int attempt = 0; attempt < kCreateAttempts && !locked; ++attempt) {
    stage.id_ = "run-" + random_hex(16);
    if (mkdirat(stage.parent_.get(), stage.id_.c_str(), 0700) != 0) {
      if (errno == EEXIST) continue;
      return system_failure("making the stage", errno);
    }
    stage.directory_.reset(openat(stage.parent_.get(), stage.id_.c_str(),
                                  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    locked = stage.directory_ && lock_new(stage.parent_.get(), stage.id_, stage.directory_.get());
  }
  if (!locked) return failure(ErrorKind::System, "the stage could not be locked");
  stage.path_ = (state_dir == "/" ? "" : state_dir) + "/" + stage.id_;

  const int directory = stage.directory_.get();
  if (fchown(directory, id_base, id_base) != 0) return system_failure("making the stage", errno);
  if (auto made = make_owned_directory(directory, "bundle", 0700, id_base); !made) {
    return std::unexpected(made.error());
  }
  auto disk = open_directory(directory, "bundle", "opening the stage");
  if (!disk) return std::unexpected(disk.error());
  stage.disk_ = std::move(*disk);
  const std::string options = std::string(kBundleOptions) + ",uid=" + std::to_string(id_base) +
                              ",gid=" + std::to_string(id_base);
  if (mount("tmpfs", stage.bundle_path().c_str(), "tmpfs", MS_NOSUID | MS_NODEV, options.c_str()) !=
      0) {
    return system_failure("mounting the bundle's tmpfs", errno);
  }
  // A mount of ours: open_directory crosses it, as the path does.
  auto bundle = open_directory(directory, "bundle", "opening the stage");
  if (!bundle) return std::unexpected(bundle.error());
  stage.bundle_ = std::move(*bundle);
  return stage;
}

Result<void> StageFolder::add_scratch() {
  return make_owned_directory(directory(), "scratch", 0700, 0);
}

Result<void> StageFolder::add_volume(const std::string& name, run::Medium medium,
                                     std::int64_t size_bytes) {
  if (medium == run::Medium::Disk) return add_folder(disk(), name, 0777);
  if (auto made = make_owned_directory(bundle(), name, 0700, id_base_); !made) return made;
  const std::string owner = std::to_string(id_base_);
  const std::string options =
      "size=" + std::to_string(size_bytes) + ",mode=0777,uid=" + owner + ",gid=" + owner;
  if (mount("tmpfs", path_of(name).c_str(), "tmpfs", MS_NOSUID | MS_NODEV, options.c_str()) != 0) {
    return system_failure("mounting a volume in memory", errno);
  }
  return {};
}

Result<void> StageFolder::add_placed(const std::string& name) {
  auto scratch = open_directory(directory(), "scratch", "opening the stage");
  if (!scratch) return std::unexpected(scratch.error());
  return add_folder(scratch->get(), name, 0755);
}

Result<void> StageFolder::add_folder(int parent, const std::string& name, std::uint32_t mode) {
  if (auto made = make_owned_directory(bundle(), name, 0700, id_base_); !made) return made;
  if (auto made = make_owned_directory(parent, name, mode, id_base_); !made) return made;
  auto folder = open_directory(parent, name, "opening a volume");
  if (!folder) return std::unexpected(folder.error());
  return bind(folder->get(), path_of(name), 0, "mounting a volume");
}

Result<void> StageFolder::add_read_only(const std::string& name, int source) {
  if (auto made = make_owned_directory(bundle(), name, 0700, id_base_); !made) return made;
  return bind(source, path_of(name), MS_RDONLY, "mounting a cached tree");
}

Result<void> StageFolder::add_guard(int program) {
  if (auto made = write_new_file(bundle(), "guard", "", 0555, "placing the guard"); !made) {
    return made;
  }
  return bind(program, path_of("guard"), MS_RDONLY, "mounting the guard");
}

Result<void> StageFolder::add_rootfs(int image_tree) {
  for (const char* name : {"rootfs", "overlay"}) {
    if (auto made = make_owned_directory(bundle(), name, 0755, id_base_); !made) return made;
  }
  auto upper = open_directory(bundle(), kUpper, "opening the upper layer");
  auto work = open_directory(bundle(), "overlay", "opening the overlay's folder");
  if (!upper || !work) return std::unexpected((upper ? work : upper).error());
  const std::string options = "lowerdir=" + descriptor_path(image_tree) +
                              ",upperdir=" + descriptor_path(upper->get()) +
                              ",workdir=" + descriptor_path(work->get());
  if (mount("overlay", path_of("rootfs").c_str(), "overlay", MS_NOSUID | MS_NODEV,
            options.c_str()) == 0) {
    return {};
  }
  if (errno == ENODEV) {
    return failure(ErrorKind::Unavailable,
                   "the kernel has no overlay file system; load the module \"overlay\"");
  }
  return system_failure("mounting the root file system (overlay)", errno);
}

Result<void> StageFolder::remove() {
  bundle_.reset();
  disk_.reset();
  // Lazily: what is mounted inside goes with it.
  if (umount2(bundle_path().c_str(), MNT_DETACH) != 0 && errno != EINVAL && errno != ENOENT) {
    return system_failure("unmounting the stage", errno);
  }
  auto removed = remove_tree(parent_.get(), id_);
  directory_.reset();
  return removed;
}

}  // namespace sandboxrun::launch
