#include "operator/pod/render.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "operator/base/json_writer.h"
#include "operator/pod/compare.h"
#include "operator/pod/names.h"
#include "operator/pod/network_policy.h"
#include "operator/pod/render_spec.h"
#include "operator/pod/volumes.h"
#include "operator/run/orders.h"

namespace sandboxrun::pod {
namespace {

constexpr std::int64_t kReportSeconds = 5;     // for the kubelet to read the last report
constexpr std::int64_t kBackstopSeconds = 60;  // behind the operator's own deadlines

/// The work orders as they travel; empty: that step isn't needed.
struct Orders {
  std::string prepare;
  std::string collect;
};

struct Hashes {
  std::string plan;
  std::string pod;  ///< empty: of a pod that is to be hashed
};

Result<Orders> orders_for(const run::Plan& plan, const PodOptions& options) {
  Orders orders;
  const run::Layout layout = layout_for(options);
  if (has_prepare(plan, options)) orders.prepare = encode(run::prepare_order(plan, layout));
  if (run::needs_collect(plan)) orders.collect = encode(run::collect_order(plan, layout));
  for (const std::string* order : {&orders.prepare, &orders.collect}) {
    if (order->size() <= kMaxOrderBytes) continue;
    return failure(ErrorKind::LimitExceeded,
                   "the work order of the run takes " + std::to_string(order->size()) + " of " +
                       std::to_string(kMaxOrderBytes) +
                       " bytes; put inline texts into a ConfigMap or shorten URLs");
  }
  if (orders.prepare.size() + orders.collect.size() > kMaxOrdersBytes) {
    return failure(ErrorKind::LimitExceeded,
                   "the work orders of the run take more than " + std::to_string(kMaxOrdersBytes) +
                       " bytes together; put inline texts into a ConfigMap");
  }
  return orders;
}

void write_labels(JsonWriter& json, const run::Plan& plan, const Attempt& attempt) {
  json.key("labels").begin_object();
  json.member(kManagedByLabel, kManager);
  json.member(kRunNameLabel, plan.name);
  json.member(kRunUidLabel, plan.uid);
  json.member(kAttemptLabel, std::to_string(attempt.number));
  json.member(kNetworkLabel, network_class(plan));
  // A mesh would put its proxy between the agent and its servers, and a container beside the run.
  json.member("sidecar.istio.io/inject", "false");
  json.member("istio.io/dataplane-mode", "none");
  json.end_object();
}

void write_annotations(JsonWriter& json, const run::Plan& plan, const Orders& orders,
                       const Hashes& hashes) {
  json.key("annotations").begin_object();
  json.member(kPlanVersionAnnotation, std::to_string(plan.version));
  json.member(kPlanHashAnnotation, hashes.plan);
  if (!hashes.pod.empty()) json.member(kPodHashAnnotation, hashes.pod);
  json.member(kDeadlineAnnotation, std::to_string(plan.active_deadline_seconds));
  json.member(kStartDeadlineAnnotation, std::to_string(plan.start_deadline_seconds));
  if (!orders.prepare.empty()) json.member(kPrepareOrderAnnotation, orders.prepare);
  if (!orders.collect.empty()) json.member(kCollectOrderAnnotation, orders.collect);
  json.member("cluster-autoscaler.kubernetes.io/safe-to-evict", "false");
  json.member("karpenter.sh/do-not-disrupt", "true");
  json.member("sidecar.istio.io/inject", "false");
  json.member("linkerd.io/inject", "disabled");
  json.member("kubectl.kubernetes.io/default-container", kRun);
  json.end_object();
}

void write_owner(JsonWriter& json, const run::Plan& plan) {
  json.key("ownerReferences").begin_array().begin_object();
  json.member("apiVersion", run::kApiVersion).member("kind", run::kKind);
  json.member("name", plan.name).member("uid", plan.uid);
  json.member("controller", true).member("blockOwnerDeletion", true);
  json.end_object().end_array();
}

void set_annotation(Node& pod, std::string_view name, const std::string& text) {
  const auto member = [](Node& map, std::string_view key) {
    return std::ranges::find(map.entries, key, &Node::Entry::key);
  };
  Node value;
  value.kind = Node::Kind::String;
  value.text = text;
  Node& metadata = member(pod, "metadata")->value;
  member(metadata, "annotations")
      ->value.entries.push_back({std::string(name), {}, std::move(value)});
}

std::string write_pod(const run::Plan& plan, const PodOptions& options, const Attempt& attempt,
                      const Orders& orders, const Hashes& hashes) {
  JsonWriter json;
  json.begin_object().member("apiVersion", "v1").member("kind", "Pod");
  json.key("metadata").begin_object();
  json.member("name", pod_name(plan.namespace_name, plan.name, plan.uid, attempt.number));
  json.member("namespace", plan.namespace_name);
  write_labels(json, plan, attempt);
  write_annotations(json, plan, orders, hashes);
  write_owner(json, plan);
  json.end_object();
  write_spec(json.key("spec"), plan, options, attempt);
  json.end_object();
  return json.take();
}

}  // namespace

Result<RenderedPod> render_pod(const run::Plan& plan, const PodOptions& options,
                               const Attempt& attempt) {
  const auto orders = orders_for(plan, options);
  if (!orders) return std::unexpected(orders.error());
  Hashes hashes{.plan = run::plan_hash(plan), .pod = ""};
  auto node = parse_machine_json(write_pod(plan, options, attempt, *orders, hashes));
  if (!node) return failure_within("the rendered pod", node.error());
  hashes.pod = pod_hash(*node);
  set_annotation(*node, kPodHashAnnotation, hashes.pod);
  return RenderedPod{write_pod(plan, options, attempt, *orders, hashes), *std::move(node)};
}

std::int64_t termination_grace_seconds(const run::Plan& plan) {
  const std::int64_t results = run::needs_collect(plan) ? plan.results->timeout_seconds : 0;
  return run::kGraceSeconds + results + kReportSeconds;
}

std::int64_t backstop_seconds(const run::Plan& plan) {
  std::int64_t seconds = plan.start_deadline_seconds + plan.active_deadline_seconds;
  for (const run::PlanStep& step : plan.setup) seconds += step.timeout_seconds;
  return seconds + termination_grace_seconds(plan) + kBackstopSeconds;
}

}  // namespace sandboxrun::pod
