#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "operator/base/time.h"
#include "sandbox-image/protocol/work_order.h"

/// The SandboxRun resource, sandboxrun.dev/v1alpha1, as its author wrote it: nothing is defaulted
/// here (plan.h does that) and nothing is checked beyond types (validate.h does that).
/// docs/reference/sandboxrun.md explains every field.
namespace sandboxrun::run {

inline constexpr std::string_view kApiVersion = "sandboxrun.dev/v1alpha1";
inline constexpr std::string_view kKind = "SandboxRun";

using protocol::ArchiveFormat;

/// A key of a Secret or ConfigMap in the run's namespace.
struct KeyReference {
  std::string name;
  std::string key;
  friend auto operator<=>(const KeyReference&, const KeyReference&) = default;
};

/// One object over HTTPS. Exactly one of `url` and `url_secret` is set.
struct HttpsSource {
  std::string url;
  std::optional<KeyReference> url_secret;  ///< urlFrom.secretKeyRef: the URL is a secret itself
  std::string headers_secret;              ///< headersSecretRef.name: a header per key; or empty
  std::optional<KeyReference> ca;          ///< caConfigMapRef: PEM; its key may be empty (ca.crt)
  friend bool operator==(const HttpsSource&, const HttpsSource&) = default;
};

/// One object in an S3-compatible store.
struct S3Source {
  std::string endpoint;  ///< "https://host[:port]"; empty: Amazon's for the region
  std::string region;
  std::string bucket;
  std::string key;
  std::string version_id;          ///< empty: the current version
  std::string credentials_secret;  ///< credentialsSecretRef.name; empty: unsigned requests
  friend bool operator==(const S3Source&, const S3Source&) = default;
};

/// A file of the machine on which the launcher runs; refused in a cluster.
struct FileSource {
  std::string path;  ///< relative ones start at the manifest's folder
  friend bool operator==(const FileSource&, const FileSource&) = default;
};

/// Where bytes come from. Valid runs have exactly one member set.
struct Source {
  std::optional<HttpsSource> https;
  std::optional<S3Source> s3;
  std::optional<KeyReference> config_map;
  std::optional<std::string> inline_text;
  std::optional<FileSource> file;
  friend bool operator==(const Source&, const Source&) = default;
};

struct EnvironmentArchive {
  Source source;
  std::string digest;
  std::optional<ArchiveFormat> format;
  std::string activate;  ///< path inside the archive, or empty
  friend bool operator==(const EnvironmentArchive&, const EnvironmentArchive&) = default;
};

struct Environment {
  std::string image;
  std::optional<EnvironmentArchive> archive;
  friend bool operator==(const Environment&, const Environment&) = default;
};

/// As in a container: `value`, or exactly one of the references.
struct EnvVar {
  std::string name;
  std::optional<std::string> value;
  std::optional<KeyReference> secret;      ///< valueFrom.secretKeyRef
  std::optional<KeyReference> config_map;  ///< valueFrom.configMapKeyRef
  friend bool operator==(const EnvVar&, const EnvVar&) = default;
};

struct SetupStep {
  std::string name;
  std::vector<std::string> command;
  std::optional<std::int64_t> timeout_seconds;
  friend bool operator==(const SetupStep&, const SetupStep&) = default;
};

struct Asset {
  std::string name;
  Source source;
  std::string target;
  std::string digest;  ///< empty: none
  std::optional<bool> unpack;
  std::optional<bool> read_only;
  std::optional<std::int64_t> mode;
  friend bool operator==(const Asset&, const Asset&) = default;
};

/// Where a results archive goes. Valid runs have exactly one member set.
struct Upload {
  std::optional<HttpsSource> https;
  std::optional<S3Source> s3;
  friend bool operator==(const Upload&, const Upload&) = default;
};

struct Results {
  std::string path;  ///< empty: the default
  std::optional<ArchiveFormat> format;
  std::optional<std::int64_t> max_bytes;
  std::optional<std::int64_t> max_entries;
  std::optional<std::int64_t> timeout_seconds;
  std::optional<Upload> upload;
  std::optional<bool> skip_upload;
  friend bool operator==(const Results&, const Results&) = default;
};

enum class NetworkMode { None, Egress };
enum class Dns { None, Cluster };
enum class Medium { Disk, Memory };
enum class Protocol { TCP, UDP, SCTP };
std::string_view to_string(NetworkMode mode);
std::string_view to_string(Dns dns);
std::string_view to_string(Medium medium);
std::string_view to_string(Protocol protocol);

struct IpBlock {
  std::string cidr;
  std::vector<std::string> except;
  friend bool operator==(const IpBlock&, const IpBlock&) = default;
};

struct EgressPort {
  Protocol protocol = Protocol::TCP;
  std::optional<std::int64_t> port;      ///< nothing: every port
  std::optional<std::int64_t> end_port;  ///< last port of a range that begins at `port`
  friend bool operator==(const EgressPort&, const EgressPort&) = default;
};

/// The part of a NetworkPolicy's egress rule that can be given. No ports: all of them.
struct EgressRule {
  std::vector<IpBlock> to;
  std::vector<EgressPort> ports;
  friend bool operator==(const EgressRule&, const EgressRule&) = default;
};

struct Network {
  std::optional<NetworkMode> mode;
  std::vector<EgressRule> egress;
  std::optional<Dns> dns;
  friend bool operator==(const Network&, const Network&) = default;
};

struct Scratch {
  std::optional<Medium> medium;
  std::string size_limit;  ///< a quantity; empty: the default
  friend bool operator==(const Scratch&, const Scratch&) = default;
};

/// Quantities as written ("500m", "1Gi"); empty: the default.
struct ResourceList {
  std::string cpu;
  std::string memory;
  std::string ephemeral_storage;
  friend bool operator==(const ResourceList&, const ResourceList&) = default;
};

struct Resources {
  ResourceList requests;
  ResourceList limits;
  friend bool operator==(const Resources&, const Resources&) = default;
};

struct Toleration {
  std::string key;
  std::string op;  ///< "operator": Exists, Equal, or empty (Equal)
  std::string value;
  std::string effect;
  std::optional<std::int64_t> toleration_seconds;
  friend bool operator==(const Toleration&, const Toleration&) = default;
};

struct Spec {
  Environment environment;
  std::vector<std::string> command;
  std::vector<std::string> args;
  std::string working_dir;  ///< empty: the default
  std::vector<EnvVar> env;
  std::vector<SetupStep> setup;
  std::vector<Asset> assets;
  std::optional<Results> results;
  Network network;
  Scratch scratch;
  Resources resources;

  std::string runtime_class_name;
  std::map<std::string, std::string> node_selector;
  std::vector<Toleration> tolerations;
  std::string priority_class_name;
  std::vector<std::string> image_pull_secrets;

  std::optional<std::int64_t> active_deadline_seconds;
  std::optional<std::int64_t> start_deadline_seconds;
  std::optional<std::int64_t> backoff_limit;
  std::string managed_by;  ///< empty: this operator

  // The three that may be edited while the run lives.
  std::optional<std::int64_t> ttl_seconds_after_finished;
  bool suspend = false;
  bool cancel = false;
  friend bool operator==(const Spec&, const Spec&) = default;
};

/// The part of ObjectMeta that matters here.
struct Metadata {
  std::string name;
  std::string namespace_name;
  std::string uid;
  std::int64_t generation = 0;
  std::optional<TimePoint> creation_timestamp;
  std::optional<TimePoint> deletion_timestamp;
  friend bool operator==(const Metadata&, const Metadata&) = default;
};

struct SandboxRun {
  Metadata metadata;
  Spec spec;
  friend bool operator==(const SandboxRun&, const SandboxRun&) = default;
};

}  // namespace sandboxrun::run
