#include "operator/control/cluster.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "operator/base/json_writer.h"
#include "operator/control/caches.h"
#include "operator/kube/api.h"
#include "operator/kube/list_scanner.h"
#include "operator/pod/refusal.h"

namespace sandboxrun::control {
namespace {

using kube::ErrorKind;

const kube::Resource kEvents{"events.k8s.io", "v1", "events"};

// A list of a pod's events is longer than any one object.
constexpr DocumentLimits kAnswerLimits{.max_bytes = 8 * 1024 * 1024, .max_depth = 64};

std::string text_at(const Node& node, std::string_view outer, std::string_view inner) {
  const Node* parent = node.find(outer);
  const Node* found = parent == nullptr ? nullptr : parent->find(inner);
  return found == nullptr ? std::string() : found->text;
}

std::string version_of(const Node& object) {
  return text_at(object, "metadata", "resourceVersion");
}

kube::Result<SeenPod> seen(Node node) {
  auto view = pod::observe(node);
  if (!view) return kube::failure(ErrorKind::Malformed, view.error().message);
  return SeenPod{std::move(node), std::move(*view)};
}

}  // namespace

kube::Result<kube::Response> Cluster::send(kube::Request request) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - clock_.now());
  if (left.count() <= 0) {
    return kube::failure(ErrorKind::Timeout,
                         request.description + ": no time is left for it in this reconcile");
  }
  request.deadline = std::min(request.deadline, left);
  return transport_.roundtrip(request, stop_);
}

kube::Result<Node> Cluster::call(kube::Request request) {
  const std::string description = request.description;
  const auto answer = send(std::move(request));
  if (!answer) return std::unexpected(answer.error());
  auto node = parse_machine_json(answer->body, kManagedFields, kAnswerLimits);
  if (!node) {
    return kube::failure(ErrorKind::Malformed,
                         description + ": the answer is no JSON: " + node.error().message);
  }
  return std::move(*node);
}

kube::Result<std::string> Cluster::call_write(kube::Request request) {
  const std::string description = request.description;
  const auto answer = send(std::move(request));
  if (!answer) return std::unexpected(answer.error());
  auto version = kube::scan_version(answer->body);
  if (!version) {
    return kube::failure(ErrorKind::Malformed,
                         description + ": the answer is no object: " + version.error());
  }
  return std::move(*version);
}

kube::Result<void> Cluster::call_delete(kube::Request request) {
  const auto answer = send(std::move(request));
  if (!answer && answer.error().kind != ErrorKind::NotFound) {
    return std::unexpected(answer.error());
  }
  return {};
}

kube::Result<SeenPod> Cluster::create_pod(const std::string& namespace_name, std::string pod_json) {
  auto node = call(kube::create_request(kPods, namespace_name, std::move(pod_json)));
  if (!node) return std::unexpected(node.error());
  return seen(std::move(*node));
}

kube::Result<std::optional<SeenPod>> Cluster::get_pod(const kube::ObjectName& name) {
  auto node = call(kube::get_request(kPods, name));
  if (!node) {
    if (node.error().kind == ErrorKind::NotFound) return std::nullopt;
    return std::unexpected(node.error());
  }
  auto pod = seen(std::move(*node));
  if (!pod) return std::unexpected(pod.error());
  return std::move(*pod);
}

kube::Result<std::vector<SeenPod>> Cluster::list_pods(const std::string& namespace_name,
                                                      const std::string& label) {
  auto list = call(kube::list_request(
      kPods, {.namespace_name = namespace_name, .label_selector = label, .field_selector = ""},
      {}));
  if (!list) return std::unexpected(list.error());
  std::vector<SeenPod> out;
  const Node* items = list->find("items");
  if (items == nullptr) return out;
  for (const Node& item : items->items) {
    auto pod = seen(item);
    if (!pod) return std::unexpected(pod.error());
    out.push_back(std::move(*pod));
  }
  return out;
}

kube::Result<std::string> Cluster::patch_pod(const kube::ObjectName& name, std::string patch) {
  return call_write(kube::merge_patch_request(kPods, name, std::move(patch)));
}

kube::Result<void> Cluster::delete_pod(const kube::ObjectName& name, const std::string& uid,
                                       const std::string& resource_version) {
  kube::DeleteOptions options;
  options.uid = uid;
  options.resource_version = resource_version;
  return call_delete(kube::delete_request(kPods, name, options));
}

kube::Result<Cluster::AppliedPolicy> Cluster::apply_policy(const std::string& namespace_name,
                                                           const pod::NetworkPolicy& policy) {
  const auto node = call(kube::apply_request(kPolicies, {namespace_name, policy.name}, policy.json,
                                             {.field_manager = std::string(kFieldManager)}));
  if (!node) return std::unexpected(node.error());
  return AppliedPolicy{policy_rules(*node), version_of(*node)};
}

kube::Result<void> Cluster::delete_policy(const kube::ObjectMeta& policy) {
  kube::DeleteOptions options;
  options.uid = policy.uid;
  options.resource_version = policy.resource_version;
  return call_delete(kube::delete_request(kPolicies, policy.name, options));
}

kube::Result<std::string> Cluster::write_status(const run::Metadata& run,
                                                const std::string& resource_version,
                                                const run::Status& status) {
  JsonWriter json;
  json.begin_object();
  json.member("apiVersion", run::kApiVersion).member("kind", run::kKind);
  json.key("metadata").begin_object();
  json.member("name", run.name).member("namespace", run.namespace_name).member("uid", run.uid);
  json.member("resourceVersion", resource_version).end_object();
  json.key("status").raw(run::encode_status(status));
  json.end_object();
  return call_write(kube::apply_request(
      kRuns, {run.namespace_name, run.name}, json.take(),
      {.field_manager = std::string(kFieldManager), .force = true, .subresource = "status"}));
}

kube::Result<std::optional<Cluster::LiveRun>> Cluster::get_run(const kube::ObjectName& name,
                                                               const run::Policy& policy) {
  const auto answer = send(kube::get_request(kRuns, name));
  if (!answer) {
    if (answer.error().kind == ErrorKind::NotFound) return std::nullopt;
    return std::unexpected(answer.error());
  }
  const auto node = parse_machine_json(answer->body);
  auto view = read_whole_run(answer->body, policy);
  if (!node || !view) {
    const auto& error = node ? view.error() : node.error();
    return kube::failure(ErrorKind::Malformed, "the run cannot be read: " + error.message);
  }
  return LiveRun{std::move(*view), version_of(*node)};
}

kube::Result<void> Cluster::delete_run(const run::Metadata& run,
                                       const std::string& resource_version) {
  kube::DeleteOptions options;
  options.uid = run.uid;
  options.resource_version = resource_version;
  return call_delete(kube::delete_request(kRuns, {run.namespace_name, run.name}, options));
}

kube::Result<std::optional<run::Trouble>> Cluster::find_trouble(const kube::ObjectName& pod,
                                                                const std::string& uid) {
  const kube::Selection selection{.namespace_name = pod.namespace_name,
                                  .label_selector = "",
                                  .field_selector = "regarding.uid=" + uid};
  const auto list = call(kube::list_request(kEvents, selection, {}));
  if (!list) return std::unexpected(list.error());
  const Node* items = list->find("items");
  std::optional<run::Trouble> found;
  if (items == nullptr) return found;
  for (const Node& event : items->items) {
    const Node* reason = event.find("reason");
    const Node* note = event.find("note");
    if (reason == nullptr || note == nullptr) continue;
    if (auto trouble = pod::trouble(reason->text, note->text)) found = std::move(trouble);
  }
  return found;
}

}  // namespace sandboxrun::control
