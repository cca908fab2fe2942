#pragma once

#include <cstdint>
#include <string>

#include "operator/base/error.h"
#include "operator/base/fd.h"
#include "operator/run/plan.h"

namespace sandboxrun::launch {

/// Moves the calling thread (and what it forks) into a mount namespace of its own from which
/// nothing propagates: whatever is mounted for a run vanishes with its last process, also after
/// kill -9. Errors: Unavailable.
Result<void> enter_private_mounts();

/// The folder of one run, <state_dir>/<id>, made for it and for nothing else.
///
///     scratch/          if asked for: unlinked files of ours, read-only assets
///     bundle/           on the disk: volumes into which the run may write
///     bundle/           over it, in our mount namespace only: a small tmpfs
///       config.json     holds the run's environment, so it never reaches a disk
///       runtime/        the runtime's own state
///       lower, upper    the image and the mount points above it
///       rootfs/         the overlay of the two
///       guard           the guard program
///       work, data, results, assets, env
///
/// Guarantees: the folder is new, 0700, owned by the sandbox's mapped root, and flocked while this
/// object lives, so that a reaper can tell a dead stage from one in use.
class StageFolder {
 public:
  static Result<StageFolder> create(const std::string& state_dir, std::uint32_t id_base);
  StageFolder(StageFolder&&) = default;
  StageFolder& operator=(StageFolder&&) = default;

  const std::string& id() const { return id_; }
  std::uint32_t id_base() const { return id_base_; }
  int directory() const { return directory_.get(); }
  int bundle() const { return bundle_.get(); }
  std::string bundle_path() const { return path_ + "/bundle"; }
  /// Absolute path of a folder of the bundle.
  std::string path_of(const std::string& name) const { return bundle_path() + "/" + name; }
  const std::string& path() const { return path_; }
  /// The folder on disk that the bundle's tmpfs lies over.
  int disk() const { return disk_.get(); }

  /// Makes a 0700 folder of ours for unlinked files; the run cannot see it.
  Result<void> add_scratch();
  std::string scratch_path() const { return path_ + "/scratch"; }
  /// Makes a volume into which the run may write: a folder on disk, or memory bounded to
  /// `size_bytes`. As an emptyDir, it belongs to root inside and everybody may write.
  Result<void> add_volume(const std::string& name, run::Medium medium, std::int64_t size_bytes);
  /// Makes a volume that is filled before the run and that the run can only read. Assumes:
  /// add_scratch() was called.
  Result<void> add_placed(const std::string& name);
  /// Shows an existing folder, read-only, under `name`.
  Result<void> add_read_only(const std::string& name, int source);
  /// Shows the guard program at bundle/guard.
  Result<void> add_guard(int program);
  /// Lays the run's mount points over the image's tree at bundle/rootfs.
  Result<void> add_rootfs(int image_tree);

  /// Unmounts and removes everything. May be called once. Errors: System.
  Result<void> remove();

 private:
  StageFolder() = default;
  Result<void> add_folder(int parent, const std::string& name, std::uint32_t mode);

  std::string id_;
  std::string path_;
  std::uint32_t id_base_ = 0;
  UniqueFd parent_;
  UniqueFd directory_;  // holds the lock
  UniqueFd bundle_;
  UniqueFd disk_;
};

/// Where the upper layer's folders are made.
inline constexpr const char* kUpper = "upper";

}  // namespace sandboxrun::launch
