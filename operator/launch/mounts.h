#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "operator/base/error.h"
#include "operator/run/orders.h"
#include "operator/run/plan.h"

namespace sandboxrun::launch {

/// One entry of config.json's `mounts`.
struct BundleMount {
  std::string type;
  std::string source;  ///< of a bind mount: relative to the bundle
  std::string destination;
  std::vector<std::string> options;
  bool file = false;  ///< the destination is one file
  friend bool operator==(const BundleMount&, const BundleMount&) = default;
};

/// Where the run sees the guard. 20 components deep: a target has at most 12, so nothing that an
/// image or a manifest brings can lie above it, and it is mounted last.
std::string guard_path();

inline constexpr std::int64_t kTmpBytes = std::int64_t{128} << 20;  ///< of /tmp
inline constexpr std::int64_t kShmBytes = std::int64_t{64} << 20;   ///< of /dev/shm

/// Every mount of the sandbox in order: the kernel's file systems, /tmp, the run's volumes
/// (parents before children), and the guard last.
std::vector<BundleMount> bundle_mounts(const run::Plan& plan);

/// Makes the mount points that lie on the root file system in the empty folder `upper`, which will
/// hide the image's tree `lower`. Points inside other mounts are made by whoever fills those.
/// Guarantees: every existing component of such a path in the image is a real folder (or, for a
/// file's last one, a regular file).
/// Errors: Denied, naming the path inside the sandbox and what the image has there.
Result<void> make_mount_points(const std::vector<BundleMount>& mounts, int lower, int upper,
                               std::uint32_t owner);

}  // namespace sandboxrun::launch
