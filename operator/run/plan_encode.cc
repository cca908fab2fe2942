#include <openssl/evp.h>

#include <array>
#include <variant>

#include "operator/base/json_writer.h"
#include "operator/run/plan.h"

namespace sandboxrun::run {
namespace {

// The order of members is part of the format: the hash is over it.

void write(JsonWriter& json, const KeyReference& ref) {
  json.begin_object().member("name", ref.name).member("key", ref.key).end_object();
}

void write(JsonWriter& json, const std::vector<std::string>& strings) {
  json.begin_array();
  for (const std::string& text : strings) json.string(text);
  json.end_array();
}

void write(JsonWriter& json, const HttpsSource& https) {
  json.begin_object().member("type", "https").member("url", https.url);
  if (https.url_secret) write(json.key("urlSecret"), *https.url_secret);
  json.member("headersSecret", https.headers_secret);
  if (https.ca) write(json.key("ca"), *https.ca);
  json.end_object();
}

void write(JsonWriter& json, const S3Source& s3) {
  json.begin_object()
      .member("type", "s3")
      .member("endpoint", s3.endpoint)
      .member("region", s3.region)
      .member("bucket", s3.bucket)
      .member("key", s3.key)
      .member("versionId", s3.version_id)
      .member("credentialsSecret", s3.credentials_secret)
      .end_object();
}

void write(JsonWriter& json, const ConfigMapSource& source) {
  json.begin_object().member("type", "configMap");
  write(json.key("ref"), source.ref);
  json.end_object();
}

void write(JsonWriter& json, const InlineSource& source) {
  json.begin_object().member("type", "inline").member("text", source.text).end_object();
}

void write(JsonWriter& json, const FileSource& source) {
  json.begin_object().member("type", "file").member("path", source.path).end_object();
}

template <typename... Kinds>
void write(JsonWriter& json, const std::variant<Kinds...>& source) {
  std::visit([&](const auto& each) { write(json, each); }, source);
}

void write(JsonWriter& json, const PlanArchive& archive) {
  json.begin_object();
  write(json.key("source"), archive.source);
  json.member("digest", archive.digest)
      .member("format", protocol::to_string(archive.format))
      .member("activate", archive.activate)
      .end_object();
}

void write(JsonWriter& json, const PlanEnvVar& env) {
  json.begin_object().member("name", env.name);
  if (const auto* text = std::get_if<std::string>(&env.value)) {
    json.member("value", *text);
  } else {
    write(json.key(env.from_config_map ? "configMap" : "secret"),
          std::get<KeyReference>(env.value));
  }
  json.end_object();
}

void write(JsonWriter& json, const PlanStep& step) {
  json.begin_object().member("name", step.name);
  write(json.key("command"), step.command);
  json.member("timeoutSeconds", step.timeout_seconds).end_object();
}

void write(JsonWriter& json, const PlanAsset& asset) {
  json.begin_object().member("name", asset.name);
  write(json.key("source"), asset.source);
  json.member("target", asset.target)
      .member("digest", asset.digest)
      .member("unpack", asset.unpack)
      .member("readOnly", asset.read_only)
      .member("mode", std::int64_t{asset.mode})
      .end_object();
}

void write(JsonWriter& json, const PlanResults& results) {
  json.begin_object()
      .member("path", results.path)
      .member("format", protocol::to_string(results.format))
      .member("maxBytes", results.max_bytes)
      .member("maxEntries", results.max_entries)
      .member("timeoutSeconds", results.timeout_seconds);
  if (results.upload) write(json.key("upload"), *results.upload);
  json.end_object();
}

void write(JsonWriter& json, const IpBlock& block) {
  json.begin_object().member("cidr", block.cidr);
  write(json.key("except"), block.except);
  json.end_object();
}

void write(JsonWriter& json, const EgressPort& port) {
  json.begin_object().member("protocol", to_string(port.protocol));
  if (port.port) json.member("port", *port.port);
  if (port.end_port) json.member("endPort", *port.end_port);
  json.end_object();
}

void write(JsonWriter& json, const EgressRule& rule);
void write(JsonWriter& json, const Toleration& toleration);

template <typename Item>
void write_list(JsonWriter& json, std::string_view name, const std::vector<Item>& items) {
  json.key(name).begin_array();
  for (const Item& item : items) write(json, item);
  json.end_array();
}

void write(JsonWriter& json, const EgressRule& rule) {
  json.begin_object();
  write_list(json, "to", rule.to);
  write_list(json, "ports", rule.ports);
  json.end_object();
}

void write(JsonWriter& json, const PlanNetwork& network) {
  json.begin_object().member("mode", to_string(network.mode));
  write_list(json, "egress", network.egress);
  json.member("dns", to_string(network.dns)).end_object();
}

void write(JsonWriter& json, const PlanResourceList& list) {
  json.begin_object()
      .member("cpuMillis", list.cpu_millis)
      .member("memoryBytes", list.memory_bytes)
      .member("ephemeralStorageBytes", list.ephemeral_storage_bytes)
      .end_object();
}

void write(JsonWriter& json, const Toleration& toleration) {
  json.begin_object()
      .member("key", toleration.key)
      .member("operator", toleration.op)
      .member("value", toleration.value)
      .member("effect", toleration.effect);
  if (toleration.toleration_seconds) {
    json.member("tolerationSeconds", *toleration.toleration_seconds);
  }
  json.end_object();
}

void write_scheduling(JsonWriter& json, const Plan& plan) {
  json.member("runtimeClassName", plan.runtime_class_name);
  json.key("nodeSelector").begin_object();
  for (const auto& [key, value] : plan.node_selector) json.member(key, value);
  json.end_object();
  write_list(json, "tolerations", plan.tolerations);
  json.member("priorityClassName", plan.priority_class_name);
  write(json.key("imagePullSecrets"), plan.image_pull_secrets);
}

}  // namespace

std::string encode(const Plan& plan) {
  JsonWriter json;
  json.begin_object().member("version", plan.version).member("image", plan.image);
  if (plan.archive) write(json.key("archive"), *plan.archive);
  write(json.key("argv"), plan.argv);
  json.member("workingDir", plan.working_dir);
  write_list(json, "env", plan.env);
  write_list(json, "setup", plan.setup);
  write_list(json, "assets", plan.assets);
  if (plan.results) write(json.key("results"), *plan.results);
  write(json.key("network"), plan.network);
  json.key("scratch")
      .begin_object()
      .member("medium", to_string(plan.scratch.medium))
      .member("sizeBytes", plan.scratch.size_bytes)
      .end_object();
  write(json.key("requests"), plan.requests);
  write(json.key("limits"), plan.limits);
  write_scheduling(json, plan);
  json.member("activeDeadlineSeconds", plan.active_deadline_seconds)
      .member("startDeadlineSeconds", plan.start_deadline_seconds)
      .member("backoffLimit", plan.backoff_limit)
      .end_object();
  return json.take();
}

std::string plan_hash(const Plan& plan) {
  const std::string text = encode(plan);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr);
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "sha256:";
  for (unsigned int i = 0; i < size; ++i) {
    out += kHex[digest[i] >> 4];
    out += kHex[digest[i] & 15];
  }
  return out;
}

}  // namespace sandboxrun::run
