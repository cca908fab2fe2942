#include "operator/kube/lease.h"

#include <utility>

#include "operator/base/document.h"
#include "operator/base/json_writer.h"

namespace sandboxrun::kube {
namespace {

const Resource kLeases{.group = "coordination.k8s.io", .version = "v1", .plural = "leases"};

std::string text_at(const Node* node, std::string_view key) {
  const Node* found = node == nullptr ? nullptr : node->find(key);
  return found != nullptr && found->kind == Node::Kind::String ? found->text : std::string();
}

std::int64_t number_at(const Node* node, std::string_view key) {
  const Node* found = node == nullptr ? nullptr : node->find(key);
  return found != nullptr && found->kind == Node::Kind::Int ? found->integer : 0;
}

void write_time(JsonWriter& json, std::string_view name, std::string_view time) {
  if (!time.empty()) json.member(name, time);
}

}  // namespace

Result<LeaseRecord> decode_lease(std::string_view json) {
  const auto node = parse_json(json);
  if (!node) return failure(ErrorKind::Malformed, "A Lease is not JSON: " + node.error().message);
  const Node* metadata = node->find("metadata");
  LeaseRecord record;
  record.resource_version = text_at(metadata, "resourceVersion");
  if (record.resource_version.empty()) {
    return failure(ErrorKind::Malformed, "A Lease has no metadata.resourceVersion.");
  }
  const Node* spec = node->find("spec");
  record.holder = text_at(spec, "holderIdentity");
  record.duration = std::chrono::seconds(number_at(spec, "leaseDurationSeconds"));
  record.acquire_time = text_at(spec, "acquireTime");
  record.renew_time = text_at(spec, "renewTime");
  record.transitions = static_cast<int>(number_at(spec, "leaseTransitions"));
  return record;
}

std::string encode_lease(const ObjectName& name, const LeaseRecord& record) {
  JsonWriter json;
  json.begin_object()
      .member("apiVersion", "coordination.k8s.io/v1")
      .member("kind", "Lease")
      .key("metadata")
      .begin_object()
      .member("name", name.name)
      .member("namespace", name.namespace_name);
  if (!record.resource_version.empty()) json.member("resourceVersion", record.resource_version);
  json.end_object().key("spec").begin_object().member("holderIdentity", record.holder);
  json.member("leaseDurationSeconds", record.duration.count());
  write_time(json, "acquireTime", record.acquire_time);
  write_time(json, "renewTime", record.renew_time);
  json.member("leaseTransitions", record.transitions).end_object().end_object();
  return json.take();
}

LeaseClient::LeaseClient(Transport& transport, ObjectName name)
    : transport_(transport), name_(std::move(name)) {}

Result<LeaseRecord> LeaseClient::get(std::chrono::milliseconds deadline,
                                     const std::stop_token& stop) {
  return send(get_request(kLeases, name_), deadline, stop);
}

Result<LeaseRecord> LeaseClient::create(const LeaseRecord& record,
                                        std::chrono::milliseconds deadline,
                                        const std::stop_token& stop) {
  return send(create_request(kLeases, name_.namespace_name, encode_lease(name_, record)), deadline,
              stop);
}

Result<LeaseRecord> LeaseClient::update(const LeaseRecord& record,
                                        std::chrono::milliseconds deadline,
                                        const std::stop_token& stop) {
  return send(update_request(kLeases, name_, encode_lease(name_, record)), deadline, stop);
}

Result<LeaseRecord> LeaseClient::send(Request request, std::chrono::milliseconds deadline,
                                      const std::stop_token& stop) {
  request.deadline = deadline;
  const auto response = transport_.roundtrip(request, stop);
  if (!response) return std::unexpected(response.error());
  return decode_lease(response->body);
}

}  // namespace sandboxrun::kube
