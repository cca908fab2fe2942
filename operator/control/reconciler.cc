#include "operator/control/reconciler.h"

#include <algorithm>
#include <utility>

#include "operator/control/reconciler_world.h"
#include "operator/kube/events.h"
#include "operator/pod/names.h"
#include "operator/run/manifest.h"
#include "operator/run/plan.h"

namespace sandboxrun::control {
namespace {

using kube::ErrorKind;
using run::Presence;

/// More steps than a run can need in one go.
constexpr int kMaxRounds = 8;
/// The event that ends a lag of the cache comes by itself; this is for one that was missed.
constexpr Milliseconds kBehindDelay = std::chrono::milliseconds(200);
constexpr Milliseconds kConflictDelay = std::chrono::milliseconds(100);
constexpr Milliseconds kRepairDelay = std::chrono::seconds(10);

constexpr std::string_view kOurManager = "sandboxrun.dev/operator";

std::string all_of(const std::vector<run::FieldError>& errors) {
  std::string text;
  for (const run::FieldError& error : errors) {
    if (!text.empty()) text += "; ";
    if (!error.path.empty()) text += error.path + ": ";
    text += error.message;
  }
  return text;
}

bool breaks_a_rule(const std::vector<run::FieldError>& errors) {
  return std::ranges::any_of(
      errors, [](const run::FieldError& error) { return error.rule == run::Rule::InvalidSpec; });
}

void sooner(std::optional<Milliseconds>& delay, std::optional<Milliseconds> other) {
  if (other && (!delay || *other < *delay)) delay = other;
}

double seconds_between(TimePoint from, TimePoint to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

std::optional<run::Refusal> Notes::refusal(const std::string& run_uid) const {
  const std::lock_guard lock(mutex_);
  const auto found = refusals_.find(run_uid);
  if (found == refusals_.end()) return std::nullopt;
  return found->second;
}

void Notes::refused(const std::string& run_uid, run::Refusal refusal) {
  const std::lock_guard lock(mutex_);
  refusals_.insert_or_assign(run_uid, std::move(refusal));
}

std::optional<Notes::Look> Notes::look(const std::string& pod_uid) const {
  const std::lock_guard lock(mutex_);
  const auto found = looks_.find(pod_uid);
  if (found == looks_.end()) return std::nullopt;
  return found->second;
}

void Notes::looked(const std::string& pod_uid, Look look) {
  const std::lock_guard lock(mutex_);
  looks_.insert_or_assign(pod_uid, std::move(look));
}

void Notes::forget_run(const std::string& run_uid) {
  const std::lock_guard lock(mutex_);
  refusals_.erase(run_uid);
}

void Notes::forget_pod(const std::string& pod_uid) {
  const std::lock_guard lock(mutex_);
  looks_.erase(pod_uid);
}

std::optional<Notes::Rest> Notes::rest(const kube::ObjectName& run) const {
  const std::lock_guard lock(mutex_);
  const auto found = rests_.find(run);
  if (found == rests_.end()) return std::nullopt;
  return found->second;
}

void Notes::rests(const kube::ObjectName& run, Rest rest) {
  const std::lock_guard lock(mutex_);
  rests_.insert_or_assign(run, std::move(rest));
}

void Notes::forget_rest(const kube::ObjectName& run) {
  const std::lock_guard lock(mutex_);
  rests_.erase(run);
}

Reconciler::Reconciler(ReconcilerOptions options, Parts parts)
    : options_(std::move(options)), parts_(parts) {}

kube::Result<Reconciler::Outcome> Reconciler::reconcile(const kube::ObjectName& key,
                                                        const ScopedLog& log,
                                                        const std::stop_token& stop) {
  // Before anything is read: what the caches have by then holds all that we wrote.
  if (parts_.gate.is_behind(key, "runs", parts_.caches.seen_runs(key.namespace_name)) ||
      parts_.gate.is_behind(key, "pods", parts_.caches.seen_pods(key.namespace_name))) {
    return Outcome{kBehindDelay};
  }
  const auto cached = parts_.caches.find_run(key);
  if (!cached) {
    parts_.gate.forget(key);
    notes_.forget_rest(key);
    return Outcome{};
  }
  if (!cached->value) return Outcome{};
  const std::string& manager = cached->value->run.spec.managed_by;
  if (!manager.empty() && manager != kOurManager) return Outcome{};
  if (const auto rest = still_rests(key, *cached)) return *rest;
  const RunView& view = *cached->value;
  const kube::Instant deadline = parts_.clock.now() + options_.patience;
  World world{.key = key,
              .log = log,
              .cached = cached,
              .cluster = Cluster(parts_.transport, parts_.clock, deadline, stop),
              .wishes = view.wishes(),
              .status = view.status,
              .version = cached->meta.resource_version,
              .isolation = parts_.isolation.get(),
              .policies_seen = parts_.caches.seen_policies(key.namespace_name)};
  // What has attempts was allowed once: a change of policy is for new runs.
  const bool refused =
      breaks_a_rule(view.errors) || (!view.errors.empty() && view.status.attempts.empty());
  auto outcome = !view.ended && refused ? refuse(world) : drive(world);
  // Somebody else wrote in between: the cache will tell, and then it is decided anew.
  if (!outcome && outcome.error().kind == ErrorKind::Conflict) return Outcome{kConflictDelay};
  return outcome;
}

std::optional<Reconciler::Outcome> Reconciler::still_rests(const kube::ObjectName& key,
                                                           const FoundRun& run) const {
  const auto rest = notes_.rest(key);
  if (!rest || rest->run_version != run.meta.resource_version) return std::nullopt;
  const auto pod = parts_.caches.find_pod({key.namespace_name, rest->pod_name});
  if (rest->pod_version != (pod ? pod->resource_version : "") ||
      rest->policies != parts_.caches.seen_policies(key.namespace_name) ||
      rest->isolation != parts_.isolation.get()) {
    return std::nullopt;
  }
  if (!rest->due) return Outcome{};
  const TimePoint now = options_.now();
  if (now >= *rest->due) return std::nullopt;
  return Outcome{*rest->due - now};
}

bool Reconciler::is_at_rest(const kube::ObjectName& key) const {
  const auto run = parts_.caches.find_run(key);
  return run && run->value && still_rests(key, *run);
}

void Reconciler::let_rest(const World& world, const Outcome& outcome) {
  if (world.status.ended()) return notes_.forget_rest(world.key);
  std::optional<TimePoint> due;
  if (outcome.requeue_after) due = options_.now() + *outcome.requeue_after;
  notes_.rests(world.key, {.run_version = world.version,
                           .pod_name = world.facts.name,
                           .pod_version = world.pod_version,
                           .policies = world.policies_seen,
                           .isolation = world.isolation,
                           .due = due});
}

kube::Result<Reconciler::Outcome> Reconciler::refuse(World& world) {
  const auto& errors = world.cached->value->errors;
  const auto reason = breaks_a_rule(errors) ? run::Reason::InvalidSpec : run::Reason::PolicyDenied;
  const run::Decision decision =
      run::decide_refused(reason, all_of(errors), world.wishes, world.status, options_.now());
  const auto written = write_status(world, decision.status);
  if (!written) return std::unexpected(written.error());
  return Outcome{decision.requeue_after};
}

kube::Result<Reconciler::Outcome> Reconciler::drive(World& world) {
  if (!world.cached->value->ended) world.plan = run::make_plan(world.cached->value->run);
  for (int round = 0; round < kMaxRounds; ++round) {
    observe(world);
    if (const auto repaired = repair_policies(world); !repaired) {
      return std::unexpected(repaired.error());
    }
    const run::Decision decision = decide(world);
    const auto prepared = prepare(world, decision);
    if (!prepared) return std::unexpected(prepared.error());
    if (*prepared == Progress::Again) continue;

    const auto exists = write_status(world, decision.status);
    if (!exists) return std::unexpected(exists.error());
    if (!*exists) return Outcome{};
    const auto acted = act(world, decision);
    if (!acted) return std::unexpected(acted.error());
    const bool at_once = decision.requeue_after && decision.requeue_after->count() == 0;
    if (*acted == Progress::Again || at_once) continue;

    Outcome outcome{decision.requeue_after};
    sooner(outcome.requeue_after, world.look_again);
    // What was just done will show, and is to be looked at.
    if (decision.actions.empty()) let_rest(world, outcome);
    return outcome;
  }
  return Outcome{std::chrono::seconds(1)};
}

run::Decision Reconciler::decide(const World& world) const {
  run::Observation seen;
  seen.wishes = world.wishes;
  seen.attempt = world.facts;
  seen.policies_applied = world.policies_applied;
  seen.isolation = world.isolation.state;
  seen.isolation_message = world.isolation.message;
  return run::decide(world.plan, seen, world.status, options_.now());
}

void Reconciler::observe(World& world) {
  const int number = run::attempt_to_observe(world.status);
  if (world.live && world.live->number == number) {
    world.facts = *world.live;
    world.facts.refusal = notes_.refusal(world.meta().uid);
    return;
  }
  world.live.reset();
  world.compared = false;
  world.pod_version.clear();
  world.facts = {};
  world.facts.number = number;
  world.facts.name =
      pod::pod_name(world.key.namespace_name, world.key.name, world.meta().uid, number);
  world.facts.refusal = notes_.refusal(world.meta().uid);
  world.policies_applied = world.cached->value->ended || parts_.policies.are_in_place(world.plan);
  // A pod that the status doesn't know is not believed before it was compared: see adopt().
  const auto at = static_cast<std::size_t>(number - 1);
  const bool recorded = at < world.status.attempts.size();
  const auto pod = parts_.caches.find_pod(world.pod_key());
  if (!pod || pod->run_uid != world.meta().uid) return;
  if (!recorded && !world.cached->value->ended) return;
  const pod::PodView& view = *pod;
  world.facts = view.facts;
  world.facts.number = number;
  world.pod_version = view.resource_version;
  world.other_gates = view.other_gates;
  look_for_trouble(world);
}

// Before there is a pod, decide() asks for what is missing.
kube::Result<void> Reconciler::repair_policies(World& world) {
  const run::AttemptFacts& facts = world.facts;
  if (world.policies_applied || facts.presence != Presence::Present || facts.over) return {};
  auto applied = apply_policies(world);
  if (applied || facts.gate == run::Gate::Ours) return applied;
  // It runs, and the guard seals it whatever the policies say: its life goes on.
  world.log.error("the network policies of a running pod cannot be put right",
                  {{"error", applied.error().message}});
  sooner(world.look_again, kRepairDelay);
  return {};
}

void Reconciler::look_for_trouble(World& world) {
  run::AttemptFacts& facts = world.facts;
  const bool began = facts.run.started() != nullptr || facts.run.ended() != nullptr ||
                     facts.prepare.started() != nullptr;
  if (facts.node.empty() || facts.over || began || !facts.scheduled) {
    notes_.forget_pod(facts.uid);
    return;
  }
  const TimePoint now = options_.now();
  auto look = notes_.look(facts.uid);
  const TimePoint due = (look ? look->at : *facts.scheduled) + options_.event_patience;
  if (now < due) {
    world.look_again = due - now;
  } else {
    auto trouble = world.cluster.find_trouble(world.pod_key(), facts.uid);
    if (!trouble) {
      world.log.warn("the events of a pod cannot be read",
                     {{"pod", facts.name}, {"error", trouble.error().message}});
    }
    look = Notes::Look{now, trouble ? *trouble : std::nullopt};
    notes_.looked(facts.uid, *look);
    world.look_again = options_.event_patience;
  }
  if (look) facts.trouble = look->trouble;
}

kube::Result<bool> Reconciler::write_status(World& world, const run::Status& status) {
  if (status == world.status) return true;
  const run::Status before = world.status;
  run::Status next = status;
  if (world.cached->value->ended) {
    // The cache holds only a part of an ended run's status.
    auto live = world.cluster.get_run(world.key, options_.policy);
    if (!live) return std::unexpected(live.error());
    if (!*live || (*live)->view.run.metadata.uid != world.meta().uid) return false;
    next = (*live)->view.status;
    next.observed_generation = status.observed_generation;
    world.version = (*live)->resource_version;
  }
  const auto version = world.cluster.write_status(world.meta(), world.version, next);
  if (!version) {
    if (version.error().kind == ErrorKind::NotFound) return false;
    return std::unexpected(version.error());
  }
  world.version = *version;
  world.status = status;
  parts_.gate.wrote(world.key, "runs", *version);
  tell(world, before, next);
  return true;
}

void Reconciler::tell(const World& world, const run::Status& before, const run::Status& after) {
  const run::Reason reason = after.reason();
  if (before.reason() == reason && before.ended() == after.ended()) return;
  const auto* succeeded = after.find(run::ConditionType::Succeeded);
  const std::string message = succeeded == nullptr ? "" : succeeded->message;
  const std::string name(run::to_string(reason));
  world.log.info(after.ended() ? "a run has ended" : "a run has reached a stage",
                 {{"uid", world.meta().uid}, {"reason", name}, {"message", message}});
  if (after.ended()) {
    parts_.metrics.add(metric::kRunsEnded, MetricsRegistry::Labels{name}, 1);
    if (after.run && after.run->start && after.run->finish) {
      parts_.metrics.observe(metric::kRunDuration, MetricsRegistry::Labels{name},
                             seconds_between(*after.run->start, *after.run->finish));
    }
  }
  if (after.run && after.run->start && !(before.run && before.run->start)) {
    parts_.metrics.observe(metric::kRunStart, MetricsRegistry::Labels{},
                           seconds_between(world.wishes.created, *after.run->start));
  }
  const bool bad =
      after.ended() ? !after.succeeded()
                    : reason == run::Reason::PodRefused || reason == run::Reason::Unschedulable ||
                          reason == run::Reason::NodeLost || reason == run::Reason::Retrying;
  parts_.events.record({.warning = bad,
                        .reason = name,
                        .action = after.ended() ? "Finish" : "Observe",
                        .note = message.empty() ? std::string(run::info(reason).meaning) : message,
                        .regarding = {.api_version = std::string(run::kApiVersion),
                                      .kind = std::string(run::kKind),
                                      .name = world.key,
                                      .uid = world.meta().uid,
                                      .resource_version = world.version},
                        .related = std::nullopt});
  if (!after.ended()) return;
  notes_.forget_run(world.meta().uid);
  for (const run::AttemptStatus& each : after.attempts) notes_.forget_pod(each.pod_uid);
}

}  // namespace sandboxrun::control
