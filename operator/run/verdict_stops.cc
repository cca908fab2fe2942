#include <algorithm>
#include <array>

#include "operator/run/text.h"
#include "operator/run/verdict.h"

// Who asked an attempt to stop, and what kept it from starting.
namespace sandboxrun::run {
namespace {

using std::chrono::minutes;

constexpr std::size_t kMaxQuoted = 1024;

Reason reason_of(InterruptionKind kind, bool run_started) {
  switch (kind) {
    case InterruptionKind::Evicted:
      return Reason::Evicted;
    case InterruptionKind::StorageExceeded:
      return Reason::EphemeralStorageExceeded;
    case InterruptionKind::Preempted:
      return Reason::Preempted;
    case InterruptionKind::Deadline:
      return run_started ? Reason::DeadlineExceeded : Reason::StartDeadlineExceeded;
    case InterruptionKind::NodeGone:
      return Reason::NodeLost;
    case InterruptionKind::Deleted:
    case InterruptionKind::Disrupted:
      break;
  }
  return Reason::Disrupted;
}

// The cluster's own words ("Eviction API: evicting") tell who, not what.
std::string_view what_happened(InterruptionKind kind) {
  switch (kind) {
    case InterruptionKind::Evicted:
      return "the pod was evicted";
    case InterruptionKind::StorageExceeded:
      return "the pod was evicted for what it wrote to disk";
    case InterruptionKind::Preempted:
      return "the pod was preempted";
    case InterruptionKind::Deadline:
      return "the pod's own deadline passed";
    case InterruptionKind::NodeGone:
      return "the pod's node is gone, and nobody saw the pod end";
    case InterruptionKind::Deleted:
    case InterruptionKind::Disrupted:
      break;
  }
  return "the pod was disrupted";
}

std::string message_of(const Interruption& interruption, Reason reason) {
  if (interruption.kind == InterruptionKind::Deleted) return "somebody deleted the attempt's pod";
  if (interruption.message.empty()) return std::string(info(reason).meaning);
  return std::string(what_happened(interruption.kind)) + ": " +
         clean_text(interruption.message, kMaxQuoted);
}

// A time of whole seconds stands for any moment of that second.
bool proven_before(TimePoint end, TimePoint stop) {
  const auto resolution =
      end == whole_seconds(end) ? Milliseconds(std::chrono::seconds(1)) : Milliseconds(1);
  return end + resolution <= stop;
}

// Lower is more telling. A deletion is how others stop a pod, and the object's deadline is how we
// do: both count only when nothing else explains the stop.
int rank(InterruptionKind kind) {
  if (kind == InterruptionKind::Deadline) return 1;
  return kind == InterruptionKind::Deleted ? 2 : 0;
}

// We stop a pod by its deadline, so a deadline that follows our request is no cause of its own.
bool is_our_doing(const std::optional<StopRequest>& stop, const Interruption& interruption) {
  if (!stop || interruption.kind != InterruptionKind::Deadline) return false;
  return !stop->at || !interruption.at || *interruption.at >= *stop->at;
}

struct Candidate {
  StopCause cause;
  int rank = 0;
};

bool comes_first(const Candidate& a, const Candidate& b) {
  if (a.rank != b.rank) return a.rank < b.rank;
  return a.cause.at.value_or(TimePoint::max()) < b.cause.at.value_or(TimePoint::max());
}

struct WaitingRule {
  std::string_view word;
  Reason reason;
  Milliseconds patience;
};

// The kubelet's words. It tries again by itself, so what may pass is given time: a registry that
// is away, a Secret that is applied a moment after the run.
constexpr std::array kWaitingRules = {
    WaitingRule{"ErrImagePull", Reason::ImagePullFailed, minutes(5)},
    WaitingRule{"ImagePullBackOff", Reason::ImagePullFailed, minutes(5)},
    WaitingRule{"RegistryUnavailable", Reason::ImagePullFailed, minutes(5)},
    WaitingRule{"ImageInspectError", Reason::ImagePullFailed, minutes(5)},
    WaitingRule{"InvalidImageName", Reason::ImagePullFailed, minutes(0)},
    WaitingRule{"ErrImageNeverPull", Reason::ImagePullFailed, minutes(0)},
    WaitingRule{"SignatureValidationFailed", Reason::SignatureInvalid, minutes(0)},
    WaitingRule{"CreateContainerConfigError", Reason::ReferenceMissing, minutes(2)},
    WaitingRule{"CreateContainerError", Reason::SandboxStartFailed, minutes(2)},
    WaitingRule{"RunContainerError", Reason::SandboxStartFailed, minutes(2)},
};

std::optional<StartTrouble> waiting_trouble(const StepFacts& step) {
  const Waiting* waiting = step.waiting();
  if (waiting == nullptr) return std::nullopt;
  const auto rule = std::ranges::find(kWaitingRules, waiting->reason, &WaitingRule::word);
  if (rule == kWaitingRules.end()) return std::nullopt;
  return StartTrouble{
      {rule->reason, waiting->reason + ": " + clean_text(waiting->message, kMaxQuoted)},
      rule->patience};
}

}  // namespace

std::optional<StopCause> first_stop(const AttemptFacts& facts,
                                    const std::optional<StopCause>& asked,
                                    const std::optional<TimePoint>& finish) {
  std::vector<Candidate> candidates;
  const auto add = [&](StopCause cause, int rank_of_it) {
    // A collector that takes too long is stopped after the command's end.
    if (finish && cause.reason == Reason::CollectorFailed) return;
    if (finish && cause.at && proven_before(*finish, *cause.at)) return;
    candidates.push_back({std::move(cause), rank_of_it});
  };
  const bool run_started = facts.run.started() != nullptr || facts.run.ended() != nullptr;
  if (facts.stop) {
    const bool known = asked && asked->reason == facts.stop->reason;
    add({facts.stop->reason, facts.stop->at,
         known ? asked->message : std::string(info(facts.stop->reason).meaning)},
        0);
  } else if (asked) {
    add(*asked, 0);
  }
  for (const Interruption& interruption : facts.interruptions) {
    if (is_our_doing(facts.stop, interruption)) continue;
    const Reason reason = reason_of(interruption.kind, run_started);
    add({reason, interruption.at, message_of(interruption, reason)}, rank(interruption.kind));
  }
  if (candidates.empty()) return std::nullopt;
  return std::ranges::min_element(candidates, comes_first)->cause;
}

std::optional<StartTrouble> find_start_trouble(const AttemptFacts& facts) {
  for (const StepFacts* step : {&facts.prepare, &facts.run}) {
    if (auto trouble = waiting_trouble(*step)) return trouble;
  }
  if (!facts.trouble) return std::nullopt;
  std::string message = clean_text(facts.trouble->message, kMaxQuoted);
  switch (facts.trouble->kind) {
    case TroubleKind::ReferenceMissing:
      return StartTrouble{{Reason::ReferenceMissing, std::move(message)}, minutes(2)};
    case TroubleKind::RuntimeClass:
      return StartTrouble{{Reason::RuntimeClassUnavailable, std::move(message)}, minutes(2)};
    case TroubleKind::Sandbox:
      break;
  }
  return StartTrouble{{Reason::SandboxStartFailed, std::move(message)}, minutes(5)};
}

}  // namespace sandboxrun::run
