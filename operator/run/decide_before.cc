#include <algorithm>

#include "operator/run/decide_context.h"
#include "operator/run/text.h"

// Before an attempt exists.
namespace sandboxrun::run {
namespace {

using std::chrono::seconds;

constexpr std::size_t kMaxQuoted = 1024;
constexpr Milliseconds kFirstRetryDelay = seconds(10);
constexpr Milliseconds kLongestRetryDelay = std::chrono::minutes(6);

// When the next attempt may be created; nothing if there was none before.
std::optional<TimePoint> retry_due(const Status& previous) {
  if (previous.attempts.empty()) return std::nullopt;
  const auto& last = previous.attempts.back();
  if (!last.finish) return std::nullopt;
  return *last.finish + retry_delay(static_cast<int>(previous.attempts.size()));
}

// Refusals that waiting does not cure.
std::optional<Reason> final_reason(RefusalKind kind) {
  switch (kind) {
    case RefusalKind::RuntimeClassMissing:
      return Reason::RuntimeClassUnavailable;
    case RefusalKind::ReferenceMissing:
      return Reason::ReferenceMissing;
    case RefusalKind::Invalid:
      return Reason::InvalidSpec;
    default:
      return std::nullopt;
  }
}

std::string refusal_message(const Refusal& refusal) {
  return "the cluster refused the pod: " + clean_text(refusal.message, kMaxQuoted);
}

// Whether creation must not go on, for good.
std::optional<Verdict> find_obstacle(const Context& context) {
  const auto& refusal = context.facts.refusal;
  if (refusal) {
    if (const auto reason = final_reason(refusal->kind)) {
      return Verdict{*reason, refusal_message(*refusal)};
    }
  }
  const bool egress = context.plan.network.mode == NetworkMode::Egress;
  if (egress && context.observation.isolation == Isolation::NotEnforced) {
    return Verdict{Reason::NetworkIsolationUnavailable,
                   "network.mode is Egress, and a probe showed that network policies are not "
                   "enforced here"};
  }
  if (context.now < context.start_deadline()) return std::nullopt;
  if (refusal) return Verdict{Reason::PodRefused, refusal_message(*refusal)};
  return Verdict{Reason::StartDeadlineExceeded,
                 "no attempt could be created within " +
                     format_duration(seconds(context.plan.start_deadline_seconds))};
}

// What was said at the attempt's end also tells why there is another one.
std::string retry_message(const Context& context, TimePoint due) {
  const Condition* condition = context.previous.find(ConditionType::Succeeded);
  if (context.previous.reason() == Reason::Retrying && !condition->message.empty()) {
    return condition->message;
  }
  return "attempt " + std::to_string(context.facts.number) + " is created at " + format_time(due);
}

Milliseconds refusal_delay(const Context& context, TimePoint refused) {
  return std::clamp(refused - context.start_base(), kFirstRefusalDelay, kRefusalDelay);
}

Outcome create(const Context& context) {
  const auto& refusal = context.facts.refusal;
  Outcome outcome = refusal ? stage(Reason::PodRefused, refusal_message(*refusal))
                            : stage(Reason::Pending, "the sandbox is being created");
  if (!context.observation.policies_applied) {
    outcome.actions.emplace_back(ApplyPolicies{});
    return outcome;
  }
  if (refusal && refusal->at) {
    const TimePoint next = *refusal->at + refusal_delay(context, *refusal->at);
    if (context.now < next) {
      outcome.wake_at(next);
      return outcome;
    }
    outcome.wake_at(context.now + refusal_delay(context, context.now));
  }
  outcome.actions.emplace_back(CreateAttempt{context.facts.number});
  return outcome;
}

}  // namespace

Milliseconds retry_delay(int finished) {
  Milliseconds delay = kFirstRetryDelay;
  for (int i = 1; i < finished && delay < kLongestRetryDelay; ++i) delay *= 2;
  return std::min(delay, kLongestRetryDelay);
}

const AttemptStatus* Context::recorded() const {
  const auto at = static_cast<std::size_t>(facts.number - 1);
  if (at >= previous.attempts.size() || previous.attempts[at].finish) return nullptr;
  return &previous.attempts[at];
}

std::optional<StopCause> Context::asked() const {
  const AttemptStatus* attempt = recorded();
  if (attempt == nullptr || !attempt->reason) return std::nullopt;
  // While a stop is on record, Succeeded carries the stop's own message.
  const Condition* condition = previous.find(ConditionType::Succeeded);
  const bool kept = condition != nullptr && !condition->message.empty();
  return StopCause{*attempt->reason, std::nullopt,
                   kept ? condition->message : std::string(info(*attempt->reason).meaning)};
}

TimePoint Context::start_base() const {
  TimePoint base = observation.wishes.created;
  const Condition* suspended = previous.find(ConditionType::Suspended);
  if (suspended != nullptr && suspended->status == ConditionStatus::True) base = now;
  if (suspended != nullptr && suspended->reason == "Resumed") {
    base = std::max(base, suspended->last_transition);
  }
  const std::size_t earlier = static_cast<std::size_t>(facts.number - 1);
  if (earlier > 0 && earlier <= previous.attempts.size()) {
    const auto& last = previous.attempts[earlier - 1];
    if (last.finish) base = std::max(base, *last.finish + retry_delay(static_cast<int>(earlier)));
  }
  return base;
}

TimePoint Context::start_deadline() const {
  return start_base() + seconds(plan.start_deadline_seconds);
}

Outcome stage(Reason reason, std::string message) {
  Outcome outcome;
  outcome.verdict = {reason, std::move(message)};
  return outcome;
}

Outcome end(Verdict verdict) {
  Outcome outcome;
  outcome.verdict = std::move(verdict);
  outcome.ended = true;
  outcome.attempt_over = true;
  return outcome;
}

Outcome before_creation(const Context& context) {
  const Wishes& wishes = context.observation.wishes;
  if (wishes.cancel) return end({Reason::Cancelled, "cancelled before anything was started"});
  if (wishes.suspend) return stage(Reason::Suspended, "spec.suspend is true");
  if (auto obstacle = find_obstacle(context)) return end(std::move(*obstacle));

  const auto due = retry_due(context.previous);
  Outcome outcome;
  if (due && context.now < *due) {
    outcome = stage(Reason::Retrying, retry_message(context, *due));
    outcome.wake_at(*due);
  } else if (context.plan.network.mode == NetworkMode::Egress &&
             context.observation.isolation == Isolation::Unknown) {
    const std::string& why = context.observation.isolation_message;
    outcome = stage(Reason::Pending, "waiting for the probe of network isolation" +
                                         (why.empty() ? "" : ": " + clean_text(why, kMaxQuoted)));
  } else {
    outcome = create(context);
  }
  outcome.wake_at(context.start_deadline());
  return outcome;
}

}  // namespace sandboxrun::run
