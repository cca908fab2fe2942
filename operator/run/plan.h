#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "operator/run/spec.h"

/// The plan: a valid run with every default applied and every value in its one normal form. Pods,
/// OCI bundles and work orders are rendered from it and from nothing else.
namespace sandboxrun::run {

inline constexpr int kPlanVersion = 1;

/// Fixed places inside the sandbox.
inline constexpr std::string_view kWorkDir = "/work";
inline constexpr std::string_view kDataDir = "/data";
inline constexpr std::string_view kEnvDir = "/env";
inline constexpr std::string_view kDefaultResultsDir = "/results";

/// Between SIGTERM and SIGKILL when a run is stopped or its deadline passes.
inline constexpr int kGraceSeconds = 10;

struct ConfigMapSource {
  KeyReference ref;
  friend bool operator==(const ConfigMapSource&, const ConfigMapSource&) = default;
};

struct InlineSource {
  std::string text;
  friend bool operator==(const InlineSource&, const InlineSource&) = default;
};

/// References are by name only; caConfigMapRef has its key filled in.
using PlanSource = std::variant<HttpsSource, S3Source, ConfigMapSource, InlineSource, FileSource>;
using PlanUpload = std::variant<HttpsSource, S3Source>;

struct PlanArchive {
  PlanSource source;
  std::string digest;  ///< "sha256:<64 lower-case hex>"
  ArchiveFormat format = ArchiveFormat::Auto;
  std::string activate;  ///< relative to kEnvDir, normalised; empty: nothing is sourced
  friend bool operator==(const PlanArchive&, const PlanArchive&) = default;
};

struct PlanEnvVar {
  std::string name;
  std::variant<std::string, KeyReference> value;  ///< text, or a key of the object below
  bool from_config_map = false;  ///< the reference names a ConfigMap, otherwise a Secret
  friend bool operator==(const PlanEnvVar&, const PlanEnvVar&) = default;
};

struct PlanStep {
  std::string name;
  std::vector<std::string> command;
  std::int64_t timeout_seconds = 0;
  friend bool operator==(const PlanStep&, const PlanStep&) = default;
};

struct PlanAsset {
  std::string name;
  PlanSource source;
  std::string target;  ///< absolute, normalised, below /work or /data
  std::string digest;  ///< lower case, or empty
  bool unpack = false;
  bool read_only = true;
  std::uint32_t mode = 0444;
  friend bool operator==(const PlanAsset&, const PlanAsset&) = default;
};

struct PlanResults {
  std::string path;
  ArchiveFormat format = ArchiveFormat::TarGzip;
  std::int64_t max_bytes = 0;
  std::int64_t max_entries = 0;
  std::int64_t timeout_seconds = 0;
  std::optional<PlanUpload> upload;  ///< nothing: skipUpload
  friend bool operator==(const PlanResults&, const PlanResults&) = default;
};

struct PlanNetwork {
  NetworkMode mode = NetworkMode::None;
  std::vector<EgressRule> egress;
  Dns dns = Dns::None;
  friend bool operator==(const PlanNetwork&, const PlanNetwork&) = default;
};

struct PlanScratch {
  Medium medium = Medium::Disk;
  std::int64_t size_bytes = 0;
  friend bool operator==(const PlanScratch&, const PlanScratch&) = default;
};

struct PlanResourceList {
  std::int64_t cpu_millis = 0;
  std::int64_t memory_bytes = 0;
  std::int64_t ephemeral_storage_bytes = 0;
  friend bool operator==(const PlanResourceList&, const PlanResourceList&) = default;
};

struct Plan {
  int version = kPlanVersion;

  // Who it is; not part of the hash, so that the same spec has the same hash everywhere.
  std::string name;
  std::string namespace_name;
  std::string uid;

  std::string image;  ///< repository@sha256:<64 lower-case hex>
  std::optional<PlanArchive> archive;
  std::vector<std::string> argv;  ///< command and args: exactly these strings
  std::string working_dir;
  std::vector<PlanEnvVar> env;
  std::vector<PlanStep> setup;
  std::vector<PlanAsset> assets;
  std::optional<PlanResults> results;  ///< nothing: nothing is collected
  PlanNetwork network;
  PlanScratch scratch;
  PlanResourceList requests;
  PlanResourceList limits;

  std::string runtime_class_name;
  std::map<std::string, std::string> node_selector;
  std::vector<Toleration> tolerations;
  std::string priority_class_name;
  std::vector<std::string> image_pull_secrets;

  std::int64_t active_deadline_seconds = 0;  ///< from the command's start
  std::int64_t start_deadline_seconds = 0;   ///< from creation or resume to the command's start
  int backoff_limit = 0;

  friend bool operator==(const Plan&, const Plan&) = default;
};

/// Assumes: validate() found nothing wrong with `run`.
Plan make_plan(const SandboxRun& run);

/// The canonical JSON form: members in a fixed order, everything written out, without the
/// identity (name, namespace, uid).
std::string encode(const Plan& plan);

/// "sha256:<64 hex>" over encode(plan).
std::string plan_hash(const Plan& plan);

/// Folders that must be there, owned by the run, before it starts: the parents of targets inside
/// writable volumes, mount points for trees, the working folder. Parents come before children.
std::vector<std::string> planned_directories(const Plan& plan);

/// Something must be fetched, unpacked, placed or made before the run.
bool needs_prepare(const Plan& plan);
/// Results are to be uploaded after the run.
bool needs_collect(const Plan& plan);
/// prepare or collect opens network connections.
bool needs_transfer(const Plan& plan);
/// Where the run sources its activation script from ("/env/activate.sh"), or empty.
std::string activate_path(const Plan& plan);

}  // namespace sandboxrun::run
