#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "operator/base/error.h"
#include "operator/launch/cgroup.h"
#include "operator/launch/mounts.h"
#include "operator/launch/oci_layout.h"
#include "operator/run/plan.h"

namespace sandboxrun::launch {

/// What a bundle's config.json is written from.
struct BundleInput {
  const run::Plan& plan;
  std::vector<std::string> env;  ///< "NAME=value", each name once
  std::vector<BundleMount> mounts;
  std::uint32_t id_base = 0;
  std::string cgroup_path;  ///< "/sandboxrun-<id>"
  bool limit_swap = true;
};

inline constexpr std::string_view kHostname = "sandbox";
inline constexpr std::int64_t kMaxProcesses = 1024;  ///< as cgroup pids limit
inline constexpr int kRecordFd = 3;                  ///< where the guard writes its record

/// config.json (OCI runtime specification 1.0), whole. Holds no path of the host: sources are
/// relative to the bundle. It does hold the run's environment, and with it its secrets.
std::string render_config(const BundleInput& input);

/// One variable that the plan gives: name and resolved value.
using EnvValue = std::pair<std::string, std::string>;

/// The run's whole environment: the image's, then the plan's, then ours, a
/// later value replacing an earlier one in its place. `token` may be empty.
std::vector<std::string> run_environment(const ImageConfig& image,
                                         const std::vector<EnvValue>& values,
                                         std::string_view token);

}  // namespace sandboxrun::launch
