#include "operator/pod/observe.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "operator/pod/compare.h"
#include "operator/pod/names.h"
#include "operator/run/spec.h"

namespace sandboxrun::pod {
namespace {

using run::InterruptionKind;

/// A path of member names, as far as it exists.
const Node* at(const Node* node, std::initializer_list<std::string_view> path) {
  for (const std::string_view name : path) {
    if (node == nullptr || node->kind != Node::Kind::Map) return nullptr;
    node = node->find(name);
  }
  return node;
}

std::string text(const Node* node, std::initializer_list<std::string_view> path) {
  const Node* found = at(node, path);
  return found != nullptr && found->kind == Node::Kind::String ? found->text : std::string();
}

std::optional<std::int64_t> number(const Node* node, std::initializer_list<std::string_view> path) {
  const Node* found = at(node, path);
  if (found == nullptr || found->kind != Node::Kind::Int) return std::nullopt;
  return found->integer;
}

int small_number(const Node* node, std::initializer_list<std::string_view> path, int otherwise) {
  return static_cast<int>(
      std::clamp<std::int64_t>(number(node, path).value_or(otherwise), -1, 1'000'000));
}

// 1970 is how a runtime writes "never".
std::optional<TimePoint> time(const Node* node, std::initializer_list<std::string_view> path) {
  const auto parsed = parse_time(text(node, path));
  if (!parsed || parsed->time_since_epoch().count() == 0) return std::nullopt;
  return parsed;
}

const std::vector<Node>& items(const Node* node, std::initializer_list<std::string_view> path) {
  static const std::vector<Node> kNone;
  const Node* found = at(node, path);
  return found != nullptr ? found->items : kNone;
}

const Node* named(const std::vector<Node>& list, std::string_view name,
                  std::string_view key = "name") {
  const auto found =
      std::ranges::find_if(list, [&](const Node& each) { return text(&each, {key}) == name; });
  return found == list.end() ? nullptr : &*found;
}

const Node* condition(const Node& pod, std::string_view type) {
  return named(items(&pod, {"status", "conditions"}), type, "type");
}

bool is_condition(const Node* found, std::string_view status) {
  return text(found, {"status"}) == status;
}

run::Ended ended(const Node& terminated) {
  // Without a code there is no proof of a success.
  return {.exit_code = small_number(&terminated, {"exitCode"}, -1),
          .signal = small_number(&terminated, {"signal"}, 0),
          .runtime_reason = text(&terminated, {"reason"}),
          .start = time(&terminated, {"startedAt"}),
          .finish = time(&terminated, {"finishedAt"}),
          .termination_message = text(&terminated, {"message"})};
}

run::StepFacts step(const Node& pod, std::string_view list, std::string_view name) {
  run::StepFacts facts;
  const Node* status = named(items(&pod, {"status", list}), name);
  if (status == nullptr) return facts;
  if (const Node* terminated = at(status, {"state", "terminated"})) {
    facts.state = ended(*terminated);
  } else if (const Node* running = at(status, {"state", "running"})) {
    facts.state = run::Started{time(running, {"startedAt"})};
  } else if (const Node* waiting = at(status, {"state", "waiting"})) {
    facts.state = run::Waiting{text(waiting, {"reason"}), text(waiting, {"message"})};
  }
  if (const Node* earlier = at(status, {"lastState", "terminated"}))
    facts.earlier = ended(*earlier);
  facts.restarts = small_number(status, {"restartCount"}, 0);
  facts.image_id = text(status, {"imageID"});
  return facts;
}

// An eviction for what the pod wrote itself, in the kubelet's three wordings.
bool wrote_too_much(std::string_view message) {
  constexpr std::array<std::string_view, 3> kWordings = {
      "exceeds the total limit of containers", "exceeded its local ephemeral storage limit",
      "exceeds the limit \""};
  return std::ranges::any_of(kWordings,
                             [&](std::string_view words) { return message.contains(words); });
}

InterruptionKind kind_of_disruption(std::string_view reason, std::string_view pod_reason) {
  if (reason == "PreemptionByScheduler" || pod_reason == "Preempting") {
    return InterruptionKind::Preempted;
  }
  if (reason == "EvictionByEvictionAPI") return InterruptionKind::Evicted;
  // By the control plane, in the name of a node that was deleted: no kubelet has ended anything.
  if (reason == "DeletionByPodGC") return InterruptionKind::NodeGone;
  return InterruptionKind::Disrupted;
}

/// The pod's own word for its end, where it names somebody who ended it.
std::optional<run::Interruption> interruption_by_reason(const Node& pod,
                                                        std::optional<TimePoint> disrupted,
                                                        bool stop_asked) {
  const std::string reason = text(&pod, {"status", "reason"});
  run::Interruption out{.at = disrupted, .message = text(&pod, {"status", "message"})};
  if (reason == "Evicted") {
    out.kind =
        wrote_too_much(out.message) ? InterruptionKind::StorageExceeded : InterruptionKind::Evicted;
    return out;
  }
  if (reason == "Preempting") {
    out.kind = InterruptionKind::Preempted;
    return out;
  }
  if (reason == "Terminated" || reason == "NodeShutdown" || reason == "Shutdown" ||
      reason == "NodeLost") {
    out.kind = InterruptionKind::Disrupted;
    return out;
  }
  if (reason != "DeadlineExceeded") return std::nullopt;
  out.kind = InterruptionKind::Deadline;
  out.at.reset();
  // A stop of ours lowers the deadline, so that start + deadline is no moment of anything.
  const auto started = time(&pod, {"status", "startTime"});
  const auto seconds = number(&pod, {"spec", "activeDeadlineSeconds"});
  if (!stop_asked && started && seconds) out.at = *started + std::chrono::seconds(*seconds);
  return out;
}

// When the deletion was asked for: the timestamp is the end of its grace.
std::optional<TimePoint> deletion_asked(const Node& pod) {
  const auto until = time(&pod, {"metadata", "deletionTimestamp"});
  if (!until) return std::nullopt;
  const auto grace = number(&pod, {"metadata", "deletionGracePeriodSeconds"});
  return *until - std::chrono::seconds(std::max<std::int64_t>(grace.value_or(0), 0));
}

std::vector<run::Interruption> interruptions(const Node& pod, bool stop_asked) {
  std::vector<run::Interruption> out;
  const std::string pod_reason = text(&pod, {"status", "reason"});
  const Node* target = condition(pod, "DisruptionTarget");
  const bool disrupted = is_condition(target, "True");
  const auto disrupted_at =
      disrupted ? time(target, {"lastTransitionTime"}) : std::optional<TimePoint>();
  // A pod that the node refused was not interrupted: it had no container.
  const bool had_containers = !items(&pod, {"status", "containerStatuses"}).empty();
  auto by_reason = interruption_by_reason(pod, disrupted_at, stop_asked);
  if (by_reason && had_containers) {
    out.push_back(*by_reason);
  }
  const bool said_already = !out.empty() && out.front().kind != InterruptionKind::Deadline;
  if (disrupted && !said_already) {
    out.push_back({.kind = kind_of_disruption(text(target, {"reason"}), pod_reason),
                   .at = disrupted_at,
                   .message = text(target, {"message"})});
  }
  if (at(&pod, {"metadata", "deletionTimestamp"}) != nullptr) {
    out.push_back({.kind = InterruptionKind::Deleted, .at = deletion_asked(pod), .message = ""});
  }
  return out;
}

std::optional<run::StopRequest> stop_request(const Node& pod) {
  const Node* annotations = at(&pod, {"metadata", "annotations"});
  const auto reason = run::parse_reason(text(annotations, {kStopAnnotation}));
  if (!reason) return std::nullopt;
  return run::StopRequest{*reason, time(annotations, {kStopAtAnnotation})};
}

// The node controller says so by taking Ready away from a pod whose containers it leaves ready.
std::optional<TimePoint> node_lost(const Node& pod, bool over) {
  if (over) return std::nullopt;
  if (text(&pod, {"status", "reason"}) == "NodeLost") {
    const auto asked = deletion_asked(pod);
    return asked ? asked : time(&pod, {"status", "startTime"});
  }
  const Node* ready = condition(pod, "Ready");
  if (!is_condition(ready, "False") || !is_condition(condition(pod, "ContainersReady"), "True")) {
    return std::nullopt;
  }
  return time(ready, {"lastTransitionTime"});
}

void read_gates(const Node& pod, PodView& view) {
  bool ours = false;
  for (const Node& gate : items(&pod, {"spec", "schedulingGates"})) {
    const std::string name = text(&gate, {"name"});
    if (name == kGate) {
      ours = true;
    } else {
      view.other_gates.push_back(name);
      if (!view.facts.foreign_gates.empty()) view.facts.foreign_gates += ", ";
      view.facts.foreign_gates += name;
    }
  }
  if (ours) {
    view.facts.gate = run::Gate::Ours;
  } else if (!view.other_gates.empty()) {
    view.facts.gate = run::Gate::Foreign;
  }
}

void read_identity(const Node& pod, PodView& view) {
  const Node* annotations = at(&pod, {"metadata", "annotations"});
  view.namespace_name = text(&pod, {"metadata", "namespace"});
  view.resource_version = text(&pod, {"metadata", "resourceVersion"});
  view.plan_hash = text(annotations, {kPlanHashAnnotation});
  const std::string version = text(annotations, {kPlanVersionAnnotation});
  std::from_chars(version.data(), version.data() + version.size(), view.plan_version);
  for (const Node& owner : items(&pod, {"metadata", "ownerReferences"})) {
    const Node* controller = owner.find("controller");
    const bool controls = controller != nullptr && controller->boolean;
    if (!controls || text(&owner, {"kind"}) != run::kKind ||
        text(&owner, {"apiVersion"}) != run::kApiVersion) {
      continue;
    }
    view.run_name = text(&owner, {"name"});
    view.run_uid = text(&owner, {"uid"});
  }
  const std::string attempt = text(&pod, {"metadata", "labels", kAttemptLabel});
  std::from_chars(attempt.data(), attempt.data() + attempt.size(), view.facts.number);
}

void read_scheduling(const Node& pod, run::AttemptFacts& facts) {
  const Node* scheduled = condition(pod, "PodScheduled");
  if (is_condition(scheduled, "True")) facts.scheduled = time(scheduled, {"lastTransitionTime"});
  if (!is_condition(scheduled, "False")) return;
  facts.unschedulable = text(scheduled, {"reason"}) == "Unschedulable";
  facts.scheduling_message = text(scheduled, {"message"});
}

std::string token(const Node& pod) {
  const Node* container = named(items(&pod, {"spec", "containers"}), kRun);
  return text(named(items(container, {"env"}), kTokenVariable), {"value"});
}

}  // namespace

Result<PodView> observe(const Node& pod) {
  PodView view;
  run::AttemptFacts& facts = view.facts;
  facts.presence = run::Presence::Present;
  facts.name = text(&pod, {"metadata", "name"});
  facts.uid = text(&pod, {"metadata", "uid"});
  if (facts.name.empty() || facts.uid.empty()) {
    return failure(ErrorKind::InvalidInput, "the pod has no metadata.name or no metadata.uid");
  }
  read_identity(pod, view);
  read_gates(pod, view);
  read_scheduling(pod, facts);
  facts.node = text(&pod, {"spec", "nodeName"});
  facts.created = time(&pod, {"metadata", "creationTimestamp"});
  view.terminating = at(&pod, {"metadata", "deletionTimestamp"}) != nullptr;

  const std::string phase = text(&pod, {"status", "phase"});
  facts.over = phase == "Succeeded" || phase == "Failed";
  facts.over_reason = text(&pod, {"status", "reason"});
  facts.over_message = text(&pod, {"status", "message"});
  facts.stop = stop_request(pod);
  facts.interruptions = interruptions(pod, facts.stop.has_value());
  facts.node_lost = node_lost(pod, facts.over);

  facts.prepare = step(pod, "initContainerStatuses", kPrepare);
  facts.collect = step(pod, "initContainerStatuses", kCollect);
  facts.run = step(pod, "containerStatuses", kRun);
  facts.collects = named(items(&pod, {"spec", "initContainers"}), kCollect) != nullptr;
  facts.token = token(pod);
  if (!is_intact(pod)) facts.mutations = {"what it was admitted as (its hash is another)"};
  return view;
}

void note_differences(PodView& view, const std::vector<std::string>& differences) {
  view.facts.mutations = differences;
  const auto differs = [&](std::string_view list, std::string_view name) {
    const std::string path =
        "spec." + std::string(list) + "[" + std::string(name) + "].image was changed";
    return std::ranges::find(differences, path) != differences.end();
  };
  // Before it has run, another image is a mutation like any other.
  if (view.facts.run.started() == nullptr && view.facts.run.ended() == nullptr) return;
  view.facts.run.image_differs = differs("containers", kRun);
  view.facts.prepare.image_differs = differs("initContainers", kPrepare);
  view.facts.collect.image_differs = differs("initContainers", kCollect);
}

}  // namespace sandboxrun::pod
