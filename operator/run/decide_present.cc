#include <algorithm>
#include <variant>

#include "operator/run/decide_context.h"
#include "operator/run/text.h"

// While an attempt's object exists, and when it is gone.
namespace sandboxrun::run {
namespace {

using std::chrono::seconds;

constexpr std::size_t kMaxQuoted = 1024;

bool run_began(const AttemptFacts& facts) {
  return facts.run.started() != nullptr || facts.run.ended() != nullptr;
}

// Nothing of it can have run: it is on no node, and no step is known.
bool cannot_have_started(const AttemptFacts& facts) {
  const auto unknown = [](const StepFacts& step) {
    return std::holds_alternative<std::monostate>(step.state);
  };
  return facts.node.empty() && unknown(facts.prepare) && unknown(facts.run) &&
         unknown(facts.collect);
}

Outcome stage_before_node(const AttemptFacts& facts) {
  if (facts.gate == Gate::Foreign) {
    return stage(Reason::SchedulingGated,
                 "waiting for somebody else to remove the scheduling gate " +
                     clean_text(facts.foreign_gates, kMaxQuoted));
  }
  if (facts.unschedulable) return stage(Reason::Unschedulable, facts.scheduling_message);
  return stage(Reason::Pending, "waiting for a node");
}

Outcome stage_before_run(const AttemptFacts& facts) {
  if (const auto trouble = find_start_trouble(facts)) {
    return stage(Reason::Preparing, trouble->verdict.message);
  }
  if (facts.prepare.started() != nullptr) {
    return stage(Reason::Preparing, "environment and assets are fetched, verified and placed");
  }
  return stage(Reason::Preparing, facts.prepare.ended() != nullptr
                                      ? "environment and assets are in place"
                                      : "the sandbox is being made");
}

Outcome current_stage(const Context& context) {
  const AttemptFacts& facts = context.facts;
  if (facts.run.ended() != nullptr) {
    return stage(Reason::Collecting, has_collector(context.plan, facts)
                                         ? "the command has ended; its results are collected"
                                         : "the command has ended; the sandbox is taken down");
  }
  if (facts.run.started() != nullptr) return stage(Reason::Running, "the sandbox runs");
  return cannot_have_started(facts) ? stage_before_node(facts) : stage_before_run(facts);
}

// Moments of which most runs only pass through, each within a second or two: what is told then
// would only be written to be overwritten. When one of them has lasted for too long.
std::optional<TimePoint> passing_until(const Context& context, Reason stage) {
  const AttemptFacts& facts = context.facts;
  if (context.recorded() == nullptr) return std::nullopt;
  std::optional<TimePoint> since;
  if (stage == Reason::Preparing && !find_start_trouble(facts)) {
    // Each step towards the start, but the first of a run that has inputs to wait for.
    const Reason told = context.previous.reason();
    if (told == Reason::Preparing || (told == Reason::Pending && !needs_prepare(context.plan))) {
      since = facts.scheduled;
      if (const Started* started = facts.prepare.started()) since = std::max(since, started->at);
      if (const Ended* ended = facts.prepare.ended()) since = std::max(since, ended->finish);
    }
  } else if (stage == Reason::Collecting) {
    // The end of the last container is followed by the pod's own.
    const Ended* last =
        has_collector(context.plan, facts) ? facts.collect.ended() : facts.run.ended();
    if (last != nullptr) since = last->finish;
  }
  if (!since || context.now >= *since + kPassing) return std::nullopt;
  return *since + kPassing;
}

// A bound that has passed, or the time at which it will.
using Bound = std::variant<Verdict, TimePoint>;

Bound bound(const Context& context, TimePoint at, Verdict verdict) {
  if (context.now < at) return at;
  return verdict;
}

Bound start_bound(const Context& context) {
  std::string message = "the command was not started within " +
                        format_duration(seconds(context.plan.start_deadline_seconds));
  if (const auto trouble = find_start_trouble(context.facts)) {
    message += "; " + trouble->verdict.message;
  } else if (context.facts.unschedulable) {
    message += "; " + context.facts.scheduling_message;
  }
  return bound(context, context.start_deadline(),
               {Reason::StartDeadlineExceeded, std::move(message)});
}

std::optional<Bound> trouble_bound(const Context& context) {
  const auto trouble = find_start_trouble(context.facts);
  if (!trouble) return std::nullopt;
  const AttemptFacts& facts = context.facts;
  TimePoint since = facts.scheduled.value_or(facts.created.value_or(context.start_base()));
  if (const Ended* prepared = facts.prepare.ended(); prepared != nullptr && prepared->finish) {
    since = std::max(since, *prepared->finish);
  }
  return bound(context, since + trouble->patience, trouble->verdict);
}

// The guard keeps the deadline; this one is behind it.
std::optional<Bound> run_bound(const Context& context) {
  const Started* started = context.facts.run.started();
  if (started == nullptr || !started->at) return std::nullopt;
  std::int64_t allowed = context.plan.active_deadline_seconds + kGraceSeconds;
  for (const PlanStep& step : context.plan.setup) allowed += step.timeout_seconds;
  return bound(context, *started->at + seconds(allowed) + kBackstopSlack,
               {Reason::DeadlineExceeded, "the guard did not end the command at its deadline"});
}

std::optional<Bound> collect_bound(const Context& context) {
  const Ended* ended = context.facts.run.ended();
  if (ended == nullptr || !ended->finish) return std::nullopt;
  std::int64_t allowed = kGraceSeconds;
  if (context.plan.results) allowed += context.plan.results->timeout_seconds;
  return bound(context, *ended->finish + seconds(allowed) + kBackstopSlack,
               {Reason::CollectorFailed, "the collector did not end in time"});
}

// Why the attempt must be stopped now; the times at which that may change go to `outcome`.
std::optional<Verdict> must_stop(const Context& context, Outcome& outcome) {
  const AttemptFacts& facts = context.facts;
  if (auto tampering = find_tampering(facts)) return tampering;
  if (!facts.mutations.empty()) {
    return judge(context.plan, facts, context.evidence, std::nullopt);
  }
  if (facts.run.ended() == nullptr) {
    const Ended* prepared = facts.prepare.ended();
    // One that failed by its exit code ends the attempt by itself.
    if (prepared == nullptr || prepared->exit_code == 0) {
      if (auto bad = judge_prepare(context.plan, facts, context.evidence)) return bad;
    }
    if (context.observation.wishes.cancel) {
      return Verdict{Reason::Cancelled, "cancelled before the command had ended"};
    }
  }
  std::optional<Bound> bounds[] = {
      run_began(facts) ? std::nullopt : trouble_bound(context),
      run_began(facts) ? std::nullopt : std::optional(start_bound(context)),
      run_bound(context),
      collect_bound(context),
  };
  for (auto& each : bounds) {
    if (!each) continue;
    if (auto* verdict = std::get_if<Verdict>(&*each)) return std::move(*verdict);
    outcome.wake_at(std::get<TimePoint>(*each));
  }
  return std::nullopt;
}

void ask_to_stop(const Context& context, Reason reason, Outcome& outcome) {
  outcome.asked = reason;
  if (cannot_have_started(context.facts)) {
    outcome.actions.emplace_back(DeleteAttempt{reason});
  } else if (!context.facts.stop) {
    outcome.actions.emplace_back(Stop{reason, context.now});
  }
}

Outcome while_node_is_lost(const Context& context) {
  const TimePoint until = *context.facts.node_lost + kNodeLostBound;
  if (context.now >= until) {
    Outcome outcome =
        end({Reason::NodeLost, "the node \"" + context.facts.node + "\" has not answered since " +
                                   format_time(*context.facts.node_lost)});
    outcome.actions.emplace_back(DeleteAttempt{Reason::NodeLost});
    return outcome;
  }
  const auto asked = context.asked();
  Outcome outcome =
      stage(Reason::NodeLost,
            asked ? asked->message : "the node \"" + context.facts.node + "\" does not answer");
  outcome.wake_at(until);
  if (asked || context.observation.wishes.cancel) {
    ask_to_stop(context, asked ? asked->reason : Reason::Cancelled, outcome);
  }
  return outcome;
}

}  // namespace

Outcome conclude(const Context& context, Verdict verdict) {
  const bool stored = context.evidence.collect && context.evidence.collect->stored;
  const bool more = context.facts.number <= context.plan.backoff_limit;
  const bool cancelled = context.observation.wishes.cancel || context.asked();
  if (!is_retryable(verdict.reason) || stored || !more || cancelled) {
    return end(std::move(verdict));
  }
  Outcome outcome = end(std::move(verdict));
  outcome.ended = false;
  outcome.wake_at(context.now);
  return outcome;
}

Outcome when_gone(const Context& context) {
  const Ended* ended = context.facts.run.ended();
  const bool whole =
      context.facts.uid == context.recorded()->pod_uid && ended != nullptr &&
      (!has_collector(context.plan, context.facts) || context.facts.collect.ended() != nullptr);
  if (whole) {
    return conclude(context, judge(context.plan, context.facts, context.evidence, context.asked()));
  }
  if (context.previous.reason() == Reason::NodeLost) {
    return end({Reason::NodeLost, "the attempt disappeared while its node did not answer"});
  }
  if (const auto asked = context.asked()) return end({asked->reason, asked->message});
  std::string message = "the attempt disappeared and nobody saw how it ended";
  if (context.previous.reason() == Reason::Collecting) {
    message =
        "the attempt disappeared after its command had ended, before its results were seen "
        "to be stored";
  }
  return end({Reason::PodLost, std::move(message)});
}

Outcome while_present(const Context& context) {
  const AttemptFacts& facts = context.facts;
  const auto asked = context.asked();
  if (facts.over) {
    return conclude(context, judge(context.plan, facts, context.evidence, asked));
  }
  if (facts.node_lost) return while_node_is_lost(context);

  Outcome outcome = current_stage(context);
  if (asked || facts.stop) {
    const Reason reason = asked ? asked->reason : facts.stop->reason;
    outcome.verdict.message = asked ? asked->message : std::string(info(reason).meaning);
    ask_to_stop(context, reason, outcome);
  } else if (auto why = must_stop(context, outcome)) {
    outcome.verdict.message = why->message;
    outcome.wake.reset();
    ask_to_stop(context, why->reason, outcome);
  } else if (facts.gate == Gate::Ours) {
    // The status must hold the attempt's uid before anything of it can start.
    if (context.recorded() == nullptr) {
      outcome.wake_at(context.now);
    } else {
      outcome.actions.emplace_back(Ungate{});
    }
  } else if (const auto until = passing_until(context, outcome.verdict.reason)) {
    outcome.passing = true;
    outcome.wake_at(*until);
  }
  return outcome;
}

}  // namespace sandboxrun::run
