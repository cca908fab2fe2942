#include "operator/run/decode.h"

#include <algorithm>
#include <array>

#include "operator/run/field_table.h"
#include "operator/run/type_check.h"
#include "operator/run/wording.h"

namespace sandboxrun::run {
namespace {

// Reading comes after check_types(), which has reported whatever is wrong; what does not fit is
// left at its default here.

const Node* member(const Node& map, std::string_view name, Node::Kind kind) {
  const Node* node = map.find(name);
  return node != nullptr && node->kind == kind ? node : nullptr;
}

void read(const Node& map, std::string_view name, std::string& out) {
  if (const Node* node = member(map, name, Node::Kind::String)) out = node->text;
}

void read(const Node& map, std::string_view name, std::optional<std::string>& out) {
  if (const Node* node = member(map, name, Node::Kind::String)) out = node->text;
}

void read(const Node& map, std::string_view name, std::optional<std::int64_t>& out) {
  if (const Node* node = member(map, name, Node::Kind::Int)) out = node->integer;
}

void read(const Node& map, std::string_view name, std::optional<bool>& out) {
  if (const Node* node = member(map, name, Node::Kind::Bool)) out = node->boolean;
}

void read(const Node& map, std::string_view name, bool& out) {
  if (const Node* node = member(map, name, Node::Kind::Bool)) out = node->boolean;
}

void read(const Node& map, std::string_view name, std::vector<std::string>& out) {
  const Node* list = member(map, name, Node::Kind::List);
  if (list == nullptr) return;
  for (const Node& item : list->items) out.push_back(item.text);
}

void read(const Node& map, std::string_view name, std::map<std::string, std::string>& out) {
  const Node* entries = member(map, name, Node::Kind::Map);
  if (entries == nullptr) return;
  for (const Node::Entry& entry : entries->entries) out[entry.key] = entry.value.text;
}

void read_quantity(const Node& map, std::string_view name, std::string& out) {
  const Node* node = map.find(name);
  if (node == nullptr) return;
  if (node->kind == Node::Kind::Int) {
    out = std::to_string(node->integer);
  } else if (node->kind == Node::Kind::String) {
    out = node->text;
  }
}

template <typename Value, std::size_t size>
void read_enum(const Node& map, std::string_view name, const std::array<Value, size>& values,
               std::optional<Value>& out) {
  const Node* node = member(map, name, Node::Kind::String);
  if (node == nullptr) return;
  for (const Value value : values) {
    if (to_string(value) == node->text) out = value;
  }
}

constexpr std::array kFormats = {ArchiveFormat::Auto,    ArchiveFormat::Tar,
                                 ArchiveFormat::TarGzip, ArchiveFormat::TarZstd,
                                 ArchiveFormat::TarXz,   ArchiveFormat::PixiPack};
constexpr std::array kModes = {NetworkMode::None, NetworkMode::Egress};
constexpr std::array kDnsModes = {Dns::None, Dns::Cluster};
constexpr std::array kMediums = {Medium::Disk, Medium::Memory};
constexpr std::array kProtocols = {Protocol::TCP, Protocol::UDP, Protocol::SCTP};

/// Reads an object member with `read_object(node)` if it is there.
template <typename Read, typename Out>
void read_object(const Node& map, std::string_view name, Read read_one, Out& out) {
  if (const Node* node = member(map, name, Node::Kind::Map)) out = read_one(*node);
}

template <typename Read, typename Item>
void read_objects(const Node& map, std::string_view name, Read read_one, std::vector<Item>& out) {
  const Node* list = member(map, name, Node::Kind::List);
  if (list == nullptr) return;
  for (const Node& item : list->items) out.push_back(read_one(item));
}

std::string read_name(const Node& node) {
  std::string name;
  read(node, "name", name);
  return name;
}

KeyReference read_key(const Node& node) {
  KeyReference out;
  read(node, "name", out.name);
  read(node, "key", out.key);
  return out;
}

HttpsSource read_https(const Node& node) {
  HttpsSource out;
  read(node, "url", out.url);
  if (const Node* from = member(node, "urlFrom", Node::Kind::Map)) {
    read_object(*from, "secretKeyRef", read_key, out.url_secret);
  }
  read_object(node, "headersSecretRef", read_name, out.headers_secret);
  read_object(node, "caConfigMapRef", read_key, out.ca);
  return out;
}

S3Source read_s3(const Node& node) {
  S3Source out;
  read(node, "endpoint", out.endpoint);
  read(node, "region", out.region);
  read(node, "bucket", out.bucket);
  read(node, "key", out.key);
  read(node, "versionId", out.version_id);
  read_object(node, "credentialsSecretRef", read_name, out.credentials_secret);
  return out;
}

FileSource read_file(const Node& node) {
  FileSource out;
  read(node, "path", out.path);
  return out;
}

Source read_source(const Node& node) {
  Source out;
  read_object(node, "https", read_https, out.https);
  read_object(node, "s3", read_s3, out.s3);
  read_object(node, "configMap", read_key, out.config_map);
  read(node, "inline", out.inline_text);
  read_object(node, "file", read_file, out.file);
  return out;
}

EnvironmentArchive read_archive(const Node& node) {
  EnvironmentArchive out;
  read_object(node, "source", read_source, out.source);
  read(node, "digest", out.digest);
  read_enum(node, "format", kFormats, out.format);
  read(node, "activate", out.activate);
  return out;
}

Environment read_environment(const Node& node) {
  Environment out;
  read(node, "image", out.image);
  read_object(node, "archive", read_archive, out.archive);
  return out;
}

EnvVar read_env(const Node& node) {
  EnvVar out;
  read(node, "name", out.name);
  read(node, "value", out.value);
  if (const Node* from = member(node, "valueFrom", Node::Kind::Map)) {
    read_object(*from, "secretKeyRef", read_key, out.secret);
    read_object(*from, "configMapKeyRef", read_key, out.config_map);
  }
  return out;
}

SetupStep read_step(const Node& node) {
  SetupStep out;
  read(node, "name", out.name);
  read(node, "command", out.command);
  read(node, "timeoutSeconds", out.timeout_seconds);
  return out;
}

Asset read_asset(const Node& node) {
  Asset out;
  read(node, "name", out.name);
  read_object(node, "source", read_source, out.source);
  read(node, "target", out.target);
  read(node, "digest", out.digest);
  read(node, "unpack", out.unpack);
  read(node, "readOnly", out.read_only);
  read(node, "mode", out.mode);
  return out;
}

Upload read_upload(const Node& node) {
  Upload out;
  read_object(node, "https", read_https, out.https);
  read_object(node, "s3", read_s3, out.s3);
  return out;
}

Results read_results(const Node& node) {
  Results out;
  read(node, "path", out.path);
  read_enum(node, "format", kFormats, out.format);
  read(node, "maxBytes", out.max_bytes);
  read(node, "maxEntries", out.max_entries);
  read(node, "timeoutSeconds", out.timeout_seconds);
  read_object(node, "upload", read_upload, out.upload);
  read(node, "skipUpload", out.skip_upload);
  return out;
}

IpBlock read_peer(const Node& node) {
  IpBlock out;
  if (const Node* block = member(node, "ipBlock", Node::Kind::Map)) {
    read(*block, "cidr", out.cidr);
    read(*block, "except", out.except);
  }
  return out;
}

EgressPort read_port(const Node& node) {
  EgressPort out;
  std::optional<Protocol> protocol;
  read_enum(node, "protocol", kProtocols, protocol);
  out.protocol = protocol.value_or(Protocol::TCP);
  read(node, "port", out.port);
  read(node, "endPort", out.end_port);
  return out;
}

EgressRule read_rule(const Node& node) {
  EgressRule out;
  read_objects(node, "to", read_peer, out.to);
  read_objects(node, "ports", read_port, out.ports);
  return out;
}

Network read_network(const Node& node) {
  Network out;
  read_enum(node, "mode", kModes, out.mode);
  read_objects(node, "egress", read_rule, out.egress);
  read_enum(node, "dns", kDnsModes, out.dns);
  return out;
}

Scratch read_scratch(const Node& node) {
  Scratch out;
  read_enum(node, "medium", kMediums, out.medium);
  read_quantity(node, "sizeLimit", out.size_limit);
  return out;
}

ResourceList read_resource_list(const Node& node) {
  ResourceList out;
  read_quantity(node, "cpu", out.cpu);
  read_quantity(node, "memory", out.memory);
  read_quantity(node, "ephemeral-storage", out.ephemeral_storage);
  return out;
}

Resources read_resources(const Node& node) {
  Resources out;
  read_object(node, "requests", read_resource_list, out.requests);
  read_object(node, "limits", read_resource_list, out.limits);
  return out;
}

Toleration read_toleration(const Node& node) {
  Toleration out;
  read(node, "key", out.key);
  read(node, "operator", out.op);
  read(node, "value", out.value);
  read(node, "effect", out.effect);
  read(node, "tolerationSeconds", out.toleration_seconds);
  return out;
}

Spec read_spec(const Node& node) {
  Spec out;
  read_object(node, "environment", read_environment, out.environment);
  read(node, "command", out.command);
  read(node, "args", out.args);
  read(node, "workingDir", out.working_dir);
  read_objects(node, "env", read_env, out.env);
  read_objects(node, "setup", read_step, out.setup);
  read_objects(node, "assets", read_asset, out.assets);
  read_object(node, "results", read_results, out.results);
  read_object(node, "network", read_network, out.network);
  read_object(node, "scratch", read_scratch, out.scratch);
  read_object(node, "resources", read_resources, out.resources);
  read(node, "runtimeClassName", out.runtime_class_name);
  read(node, "nodeSelector", out.node_selector);
  read_objects(node, "tolerations", read_toleration, out.tolerations);
  read(node, "priorityClassName", out.priority_class_name);
  read_objects(node, "imagePullSecrets", read_name, out.image_pull_secrets);
  read(node, "activeDeadlineSeconds", out.active_deadline_seconds);
  read(node, "startDeadlineSeconds", out.start_deadline_seconds);
  read(node, "ttlSecondsAfterFinished", out.ttl_seconds_after_finished);
  read(node, "backoffLimit", out.backoff_limit);
  read(node, "suspend", out.suspend);
  read(node, "cancel", out.cancel);
  read(node, "managedBy", out.managed_by);
  return out;
}

Metadata read_metadata(const Node& node, std::vector<FieldError>& errors) {
  Metadata out;
  read(node, "name", out.name);
  read(node, "namespace", out.namespace_name);
  read(node, "uid", out.uid);
  std::optional<std::int64_t> generation;
  read(node, "generation", generation);
  out.generation = generation.value_or(0);
  const auto read_time = [&](std::string_view name, std::optional<TimePoint>& time) {
    const Node* written = member(node, name, Node::Kind::String);
    if (written == nullptr) return;
    if (const auto parsed = parse_time(written->text)) {
      time = *parsed;
    } else {
      errors.push_back({member_path("metadata", name), written->mark,
                        quoted(written->text) + " is not a time such as 2026-01-31T12:00:00Z"});
    }
  };
  read_time("creationTimestamp", out.creation_timestamp);
  read_time("deletionTimestamp", out.deletion_timestamp);
  return out;
}

/// Another kind of object: one error, since all its fields would be unknown too.
bool is_sandbox_run(const Node& document, std::vector<FieldError>& errors) {
  if (document.kind != Node::Kind::Map) return true;  // check_types says it
  const auto check = [&](std::string_view name, std::string_view wanted) {
    const Node* node = member(document, name, Node::Kind::String);
    if (node == nullptr || node->text == wanted) return;
    errors.push_back(
        {std::string(name), node->mark,
         quoted(node->text) + " is not what is read here; it must be " + std::string(wanted)});
  };
  check("apiVersion", kApiVersion);
  check("kind", kKind);
  return errors.empty();
}

}  // namespace

Decoded decode(const Node& document) {
  Decoded out;
  if (!is_sandbox_run(document, out.errors)) return out;
  check_types(document, document_type(), "", out.errors);
  if (const Node* metadata = member(document, "metadata", Node::Kind::Map)) {
    out.run.metadata = read_metadata(*metadata, out.errors);
  }
  if (const Node* spec = member(document, "spec", Node::Kind::Map)) {
    out.run.spec = read_spec(*spec);
  }
  return out;
}

}  // namespace sandboxrun::run
