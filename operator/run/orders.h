#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "operator/run/plan.h"
#include "sandbox-image/protocol/work_order.h"

/// From a plan to what the sandbox's parts are told: mounts, work orders, the guard's arguments.
/// Shared by the pod renderer and the launcher, so that both run the same thing.
namespace sandboxrun::run {

/// The volumes of a run.
enum class Volume {
  Work,     ///< /work: writable scratch
  Data,     ///< /data, if it is writable (see mounts_for)
  Env,      ///< /env: the unpacked environment archive, read-only
  Results,  ///< the results folder
  Assets,   ///< read-only assets: items by index, or the folder "data"
};
std::string_view to_string(Volume volume);

/// One mount of the run itself.
struct Mount {
  Volume volume = Volume::Work;
  std::string sub_path;  ///< inside the volume; empty: the whole
  std::string target;    ///< absolute
  bool read_only = false;
  bool file = false;  ///< the target is one file, not a folder
  friend bool operator==(const Mount&, const Mount&) = default;
};

/// The run's mounts, parents before children. The guard, /tmp and /dev/shm are the renderers'.
/// /work is always there and writable. /data is there if anything lives below it: as one read-only
/// mount if all that lives there are read-only assets, else (also with the working folder below it)
/// as a writable volume.
std::vector<Mount> mounts_for(const Plan& plan);

/// Where the agent's containers (or the launcher's stage) see volumes and referenced objects.
struct Layout {
  std::string work_dir = "/work";
  std::string data_dir = "/data";
  std::string env_dir = "/env";
  std::string assets_dir = "/assets";
  std::string results_dir;  ///< empty: the plan's results path
  // A key of an object is the file <folder>/<key>. The folder is the one listed here under the
  // object's name, else <dir>/<name>.
  std::string secrets_dir = "/sandboxrun-secrets";
  std::string config_maps_dir = "/sandboxrun-configmaps";
  std::map<std::string, std::string> secret_folders;
  std::map<std::string, std::string> config_map_folders;
  std::string files_dir;    ///< the manifest's folder: relative `file` sources start here
  std::string pixi_unpack;  ///< absolute path of the unpacker for PixiPack, or empty
  protocol::TransferPolicy transfer;
};

/// An object whose keys must be visible as files, in the folder that the Layout says.
struct ReferencedObject {
  enum class Kind { Secret, ConfigMap };
  Kind kind = Kind::Secret;
  std::string name;
  bool all_keys = false;                   ///< headersSecretRef: every key is a header
  std::vector<std::string> keys;           ///< must exist
  std::vector<std::string> optional_keys;  ///< may be missing (a session token)
  friend bool operator==(const ReferencedObject&, const ReferencedObject&) = default;
};

/// What prepare and collect need mounted, one entry an object, sorted by kind and name. Values of
/// the run's own `env` are not among them: they never become files.
std::vector<ReferencedObject> prepare_references(const Plan& plan);
std::vector<ReferencedObject> collect_references(const Plan& plan);

/// Assets keep the plan's order, so report indices are indices of Plan::assets.
protocol::PrepareOrder prepare_order(const Plan& plan, const Layout& layout);
/// Assumes: plan.results is set.
protocol::CollectOrder collect_order(const Plan& plan, const Layout& layout);

/// Variables that the sandbox sets itself, over whatever image and run say: SANDBOXRUN_RESULTS, the
/// results folder, if results are collected. The guard's token is the renderer's.
std::vector<std::pair<std::string, std::string>> sandbox_variables(const Plan& plan);

/// What the administrator or the renderer adds to the guard's command line. No flag for what is
/// not set.
struct GuardOptions {
  std::optional<std::int64_t> nofile;
  std::optional<std::int64_t> nproc;
  std::optional<std::int64_t> fsize_bytes;
  bool require_userns = false;
  bool strict_speculation = false;
  /// Takes out of the environment what a kubelet tells every container of the API server. Variables
  /// of the run's own that are called so stay: then nothing is taken out.
  bool no_service_variables = false;
  std::string termination_log;  ///< empty: the guard's default
  std::optional<int> record_fd;
};

/// Everything after the guard's own path: flags, steps, "--", the command.
std::vector<std::string> guard_arguments(const Plan& plan, const GuardOptions& options = {});

}  // namespace sandboxrun::run
