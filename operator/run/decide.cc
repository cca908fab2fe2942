#include "operator/run/decide.h"

#include <algorithm>

#include "operator/run/decide_context.h"

namespace sandboxrun::run {
namespace {

using std::chrono::seconds;

std::optional<Milliseconds> delay_until(const std::optional<TimePoint>& wake, TimePoint now) {
  if (!wake) return std::nullopt;
  return std::max(Milliseconds(0), *wake - now);
}

// What a lost reply may have left of an ended run: an object that cannot have started, or one that
// a lost node still holds.
bool is_leftover(const AttemptFacts& facts, const Status& previous) {
  if (facts.presence != Presence::Present || facts.over) return false;
  const bool gated = facts.gate == Gate::Ours && facts.node.empty();
  return gated || previous.reason() == Reason::NodeLost;
}

Decision after_the_end(const Wishes& wishes, const AttemptFacts& facts, const Status& previous,
                       TimePoint now) {
  Decision decision{.actions = {}, .status = previous, .requeue_after = std::nullopt};
  decision.status.observed_generation = wishes.generation;
  if (wishes.deleted) return decision;
  if (is_leftover(facts, previous)) {
    decision.actions.emplace_back(DeleteAttempt{previous.reason()});
  }
  if (wishes.ttl_seconds_after_finished) {
    const TimePoint ended = previous.find(ConditionType::Succeeded)->last_transition;
    const TimePoint due = ended + seconds(*wishes.ttl_seconds_after_finished);
    if (now >= due) {
      decision.actions.emplace_back(DeleteRun{});
    } else {
      decision.requeue_after = due - now;
    }
  }
  return decision;
}

// The facts that are about the attempt that `previous` waits for: facts of another attempt, or of
// an object that only has its name, say no more than that it isn't there.
AttemptFacts relevant_facts(const AttemptFacts& seen, const Status& previous) {
  AttemptFacts none;
  none.number = attempt_to_observe(previous);
  if (seen.number != none.number) return none;
  const auto at = static_cast<std::size_t>(seen.number - 1);
  if (at >= previous.attempts.size()) return seen;
  const std::string& uid = previous.attempts[at].pod_uid;
  const bool other = seen.presence == Presence::Present && !uid.empty() && uid != seen.uid;
  if (!other && seen.presence != Presence::Foreign) return seen;
  none.presence = Presence::Absent;
  return none;
}

Outcome choose(const Context& context) {
  const bool recorded = context.recorded() != nullptr;
  if (recorded && context.facts.presence == Presence::Absent) return when_gone(context);
  if (context.facts.presence == Presence::Foreign) {
    return end({Reason::NameConflict, "something that is not this run's has the name \"" +
                                          context.facts.name +
                                          "\" already; delete it, or create the run under another "
                                          "name"});
  }
  if (context.facts.presence == Presence::Present) return while_present(context);
  if (!recorded) return before_creation(context);
  const Condition* condition = context.previous.find(ConditionType::Succeeded);
  Outcome outcome =
      stage(context.previous.reason(), condition == nullptr ? "" : condition->message);
  outcome.asked = context.recorded()->reason;
  outcome.actions.emplace_back(LookLive{});
  return outcome;
}

}  // namespace

int attempt_to_observe(const Status& previous) {
  if (previous.attempts.empty()) return 1;
  const int count = static_cast<int>(previous.attempts.size());
  const bool next = previous.attempts.back().finish.has_value() && !previous.ended();
  return next ? count + 1 : count;
}

Decision decide(const Plan& plan, const Observation& observation, const Status& previous,
                TimePoint now) {
  const AttemptFacts facts = relevant_facts(observation.attempt, previous);
  if (previous.ended()) return after_the_end(observation.wishes, facts, previous, now);
  if (observation.wishes.deleted) {
    return {.actions = {}, .status = previous, .requeue_after = std::nullopt};
  }
  const Evidence evidence = read_evidence(facts);
  const Context context{plan, observation, facts, evidence, previous, now};
  Outcome outcome = choose(context);
  Status status = write_status(context, outcome);
  if (outcome.ended && observation.wishes.ttl_seconds_after_finished) {
    outcome.wake_at(now + seconds(*observation.wishes.ttl_seconds_after_finished));
  }
  return {.actions = std::move(outcome.actions),
          .status = std::move(status),
          .requeue_after = delay_until(outcome.wake, now)};
}

Decision decide_refused(Reason reason, std::string_view message, const Wishes& wishes,
                        const Status& previous, TimePoint now) {
  if (previous.ended()) return after_the_end(wishes, {}, previous, now);
  if (wishes.deleted || !previous.attempts.empty()) {
    return {.actions = {}, .status = previous, .requeue_after = std::nullopt};
  }
  std::optional<TimePoint> wake;
  if (wishes.ttl_seconds_after_finished) wake = now + seconds(*wishes.ttl_seconds_after_finished);
  return {.actions = {},
          .status = write_refusal(previous, wishes, {reason, std::string(message)}, now),
          .requeue_after = delay_until(wake, now)};
}

}  // namespace sandboxrun::run
