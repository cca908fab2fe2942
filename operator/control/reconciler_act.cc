#include <algorithm>
#include <utility>
#include <variant>

#include "operator/control/reconciler.h"
#include "operator/control/reconciler_world.h"
#include "operator/pod/compare.h"
#include "operator/pod/names.h"
#include "operator/pod/network_policy.h"
#include "operator/pod/patch.h"
#include "operator/pod/refusal.h"
#include "operator/pod/render.h"

// The actions of run::Decision.
namespace sandboxrun::control {
namespace {

using kube::ErrorKind;
using run::Presence;

// No answer, or one that says nothing about this pod.
bool says_nothing(const kube::Error& error) {
  return error.status == 0 || error.kind == ErrorKind::TooManyRequests ||
         error.kind == ErrorKind::Unauthorized || error.kind == ErrorKind::Timeout;
}

std::string_view name_of(run::RefusalKind kind) {
  switch (kind) {
    case run::RefusalKind::Quota:
      return "Quota";
    case run::RefusalKind::LimitRange:
      return "LimitRange";
    case run::RefusalKind::Webhook:
      return "Webhook";
    case run::RefusalKind::PodSecurity:
      return "PodSecurity";
    case run::RefusalKind::NamespaceEnding:
      return "NamespaceEnding";
    case run::RefusalKind::Unavailable:
      return "Unavailable";
    case run::RefusalKind::RuntimeClassMissing:
      return "RuntimeClassMissing";
    case run::RefusalKind::ReferenceMissing:
      return "ReferenceMissing";
    case run::RefusalKind::Invalid:
      return "Invalid";
    case run::RefusalKind::Other:
      break;
  }
  return "Other";
}

}  // namespace

// What changes only what is known; decided anew before the status is written, so that a new run
// costs one write of its status and not two.
kube::Result<Reconciler::Progress> Reconciler::prepare(World& world,
                                                       const run::Decision& decision) {
  for (const run::Action& action : decision.actions) {
    if (std::holds_alternative<run::LookLive>(action)) {
      const auto looked = look_live(world);
      if (!looked) return std::unexpected(looked.error());
      return Progress::Again;
    }
    if (std::holds_alternative<run::ApplyPolicies>(action)) {
      const auto applied = apply_policies(world);
      if (!applied) return std::unexpected(applied.error());
      return Progress::Again;
    }
    if (const auto* attempt = std::get_if<run::CreateAttempt>(&action)) {
      return create(world, attempt->number);
    }
  }
  return Progress::Done;
}

void Reconciler::take_live(World& world, SeenPod pod) {
  const auto rendered = pod::render_pod(
      world.plan, options_.pods, {.number = world.facts.number, .token = pod.view.facts.token});
  take_pod(world, std::move(pod), rendered ? &rendered->node : nullptr, pod::Stage::Live);
}

// `rendered` is null where nothing can be rendered any more.
void Reconciler::take_pod(World& world, SeenPod pod, const Node* rendered, pod::Stage stage) {
  if (rendered != nullptr) {
    pod::note_differences(pod.view, pod::differences(*rendered, pod.node, stage));
  }
  const int number = world.facts.number;
  world.facts = pod.view.facts;
  world.facts.number = number;
  world.live = world.facts;
  world.pod_version = pod.view.resource_version;
  world.other_gates = pod.view.other_gates;
  world.compared = rendered != nullptr && world.facts.mutations.empty();
}

kube::Result<void> Reconciler::look_live(World& world) {
  auto pod = world.cluster.get_pod(world.pod_key());
  if (!pod) return std::unexpected(pod.error());
  const int number = world.facts.number;
  if (!*pod) {
    const auto& attempts = world.status.attempts;
    const auto at = static_cast<std::size_t>(number - 1);
    run::AttemptFacts gone;
    if (at < attempts.size()) {
      if (const auto last = parts_.caches.buried(attempts[at].pod_uid)) gone = last->facts;
    }
    gone.presence = Presence::Absent;
    gone.number = number;
    gone.name = world.facts.name;
    world.live = std::move(gone);
    return {};
  }
  // It was admitted before, maybe by an operator that renders otherwise: its own hash decides.
  world.facts = (*pod)->view.facts;
  world.facts.number = number;
  world.live = world.facts;
  world.pod_version = (*pod)->view.resource_version;
  world.other_gates = (*pod)->view.other_gates;
  world.compared = false;
  return {};
}

kube::Result<void> Reconciler::apply_policies(World& world) {
  const auto applied = parts_.policies.apply(world.plan, world.cluster, world.log);
  if (applied) world.policies_applied = true;
  return applied;
}

kube::Result<Reconciler::Progress> Reconciler::create(World& world, int number) {
  auto rendered = pod::render_pod(world.plan, options_.pods,
                                  {.number = number, .token = options_.make_token()});
  if (!rendered) {
    notes_.refused(world.meta().uid, {.kind = run::RefusalKind::Invalid,
                                      .message = rendered.error().message,
                                      .at = options_.now()});
    return Progress::Again;
  }
  auto created = world.cluster.create_pod(world.key.namespace_name, std::move(rendered->json));
  if (!created) {
    if (created.error().kind == ErrorKind::AlreadyExists) return adopt(world);
    return note_refusal(world, created.error());
  }
  parts_.metrics.add(metric::kAttempts, MetricsRegistry::Labels{}, 1);
  parts_.gate.wrote(world.key, "pods", created->view.resource_version);
  notes_.forget_run(world.meta().uid);
  take_pod(world, std::move(*created), &rendered->node, pod::Stage::Admitted);
  return Progress::Again;
}

// Our own pod whose answer was lost, or something else that has its name.
kube::Result<Reconciler::Progress> Reconciler::adopt(World& world) {
  auto pod = world.cluster.get_pod(world.pod_key());
  if (!pod) return std::unexpected(pod.error());
  if (!*pod) return Progress::Again;
  SeenPod& found = **pod;
  const bool owned = found.view.run_uid == world.meta().uid;
  const bool may_have_started =
      found.view.facts.gate != run::Gate::Ours || !found.view.facts.node.empty();
  const std::string uid = found.view.facts.uid;
  const std::string version = found.view.resource_version;
  take_live(world, std::move(found));
  if (owned && world.compared) return Progress::Again;
  if (owned && !may_have_started) {
    // Of an operator that rendered otherwise: it never started, so it can be made anew.
    world.live.reset();
    const auto deleted = world.cluster.delete_pod(world.pod_key(), uid, version);
    if (!deleted) return std::unexpected(deleted.error());
    return Progress::Again;
  }
  world.live->presence = Presence::Foreign;
  return Progress::Again;
}

kube::Result<Reconciler::Progress> Reconciler::note_refusal(World& world,
                                                            const kube::Error& error) {
  if (says_nothing(error)) return std::unexpected(error);
  std::vector<std::string> causes;
  for (const kube::Cause& cause : error.causes) causes.push_back(cause.reason);
  run::Refusal refusal = pod::refusal({.status = error.status,
                                       .reason = error.reason,
                                       .message = error.status_message,
                                       .causes = std::move(causes)},
                                      options_.now());
  parts_.metrics.add(metric::kRefusals, MetricsRegistry::Labels{std::string(name_of(refusal.kind))},
                     1);
  world.log.warn("a pod was refused", {{"kind", name_of(refusal.kind)}, {"error", error.message}});
  notes_.refused(world.meta().uid, std::move(refusal));
  return Progress::Again;
}

kube::Result<Reconciler::Progress> Reconciler::act(World& world, const run::Decision& decision) {
  for (const run::Action& action : decision.actions) {
    kube::Result<Progress> done = Progress::Done;
    if (std::holds_alternative<run::Ungate>(action)) {
      done = ungate(world);
    } else if (const auto* stop = std::get_if<run::Stop>(&action)) {
      done = stop_pod(world, *stop);
    } else if (const auto* gone = std::get_if<run::DeleteAttempt>(&action)) {
      done = delete_pod(world, gone->reason);
    } else if (std::holds_alternative<run::DeleteRun>(action)) {
      const auto deleted = world.cluster.delete_run(world.meta(), world.version);
      if (!deleted) return std::unexpected(deleted.error());
    }
    if (!done || *done == Progress::Again) return done;
  }
  return Progress::Done;
}

kube::Result<Reconciler::Progress> Reconciler::ungate(World& world) {
  if (!world.compared) {
    auto pod = world.cluster.get_pod(world.pod_key());
    if (!pod) return std::unexpected(pod.error());
    if (!*pod || (*pod)->view.facts.uid != world.facts.uid) {
      const auto looked = look_live(world);
      if (!looked) return std::unexpected(looked.error());
      return Progress::Again;
    }
    // One that an earlier operator rendered differs and was compared by that operator before it
    // was recorded; what was changed since is told by its hash.
    const bool earlier = (*pod)->view.plan_hash == run::plan_hash(world.plan) &&
                         (*pod)->view.facts.mutations.empty();
    if (!earlier) {
      take_live(world, std::move(**pod));
      if (!world.compared) return Progress::Again;
    } else {
      world.pod_version = (*pod)->view.resource_version;
      world.other_gates = (*pod)->view.other_gates;
      world.compared = true;
    }
  }
  const auto version = world.cluster.patch_pod(
      world.pod_key(), pod::ungate_patch(world.facts.uid, world.pod_version, world.other_gates));
  if (!version) {
    if (version.error().kind != ErrorKind::Conflict) return std::unexpected(version.error());
    world.live.reset();
    world.compared = false;
    const auto looked = look_live(world);
    if (!looked) return std::unexpected(looked.error());
    return Progress::Again;
  }
  parts_.gate.wrote(world.key, "pods", *version);
  return Progress::Done;
}

kube::Result<Reconciler::Progress> Reconciler::stop_pod(World& world, const run::Stop& stop) {
  const auto version = world.cluster.patch_pod(
      world.pod_key(), pod::stop_patch(world.facts.uid, stop.reason, stop.at));
  if (version) {
    parts_.gate.wrote(world.key, "pods", *version);
    return Progress::Done;
  }
  // Gone: its deletion is on its way to the cache.
  if (version.error().kind == ErrorKind::NotFound) return Progress::Done;
  return std::unexpected(version.error());
}

kube::Result<Reconciler::Progress> Reconciler::delete_pod(World& world, run::Reason reason) {
  // Of a lost node's pod no version matters: it is to go in whatever state.
  const bool lost = reason == run::Reason::NodeLost;
  const auto deleted =
      world.cluster.delete_pod(world.pod_key(), world.facts.uid, lost ? "" : world.pod_version);
  if (!deleted) return std::unexpected(deleted.error());
  return Progress::Done;
}

}  // namespace sandboxrun::control
