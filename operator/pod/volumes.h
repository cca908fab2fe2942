#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "operator/base/json_writer.h"
#include "operator/pod/options.h"
#include "operator/run/orders.h"

/// The volumes of a run's pod and who sees what of them. Part of the renderer.
namespace sandboxrun::pod {

/// 20 components. The runtime mounts shallow paths first, and no target of a run has more than 12,
/// so that nothing of an image or a run can stand in the way of this one.
inline constexpr std::string_view kGuardFolder =
    "/.sandboxrun/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20";
/// Where the sandbox image has its programs.
inline constexpr std::string_view kProgramsFolder = "/usr/libexec/sandboxrun";
inline constexpr std::string_view kOrderFolder = "/sandboxrun-order";
inline constexpr std::string_view kOrderFile = "order.json";
inline constexpr std::string_view kStagingFolder = "/staging";

struct EmptyDir {
  bool memory = false;
  std::int64_t bytes = 0;
};
/// An annotation of the pod, as a file.
struct OrderVolume {
  std::string annotation;
};
struct ImageVolume {
  std::string reference;
};

struct Volume {
  std::string name;
  std::variant<EmptyDir, OrderVolume, ImageVolume, run::ReferencedObject> source;
};

struct Mount {
  std::string volume;
  std::string path;
  std::string sub_path;
  bool read_only = false;
};

struct Volumes {
  std::vector<Volume> all;
  std::vector<Mount> prepare;
  std::vector<Mount> run;  ///< the guard's last
  std::vector<Mount> collect;

  std::int64_t disk_bytes() const;
  /// Of the memory volumes among `mounts`.
  std::int64_t memory_bytes(const std::vector<Mount>& mounts) const;
};

/// Whether the pod has an init container. A copied guard needs one.
bool has_prepare(const run::Plan& plan, const PodOptions& options);

Volumes volumes_for(const run::Plan& plan, const PodOptions& options);

/// How the agents' containers see volumes and objects.
run::Layout layout_for(const PodOptions& options);

/// Where the run finds its guard.
std::string guard_program(const PodOptions& options);

void write_volumes(JsonWriter& json, const Volumes& volumes);
void write_mounts(JsonWriter& json, const std::vector<Mount>& mounts);

}  // namespace sandboxrun::pod
