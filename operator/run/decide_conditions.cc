#include "operator/run/decide_context.h"
#include "operator/run/text.h"

// From a decision to the status: the conditions.
namespace sandboxrun::run {
namespace {

constexpr auto kTrue = ConditionStatus::True;
constexpr auto kFalse = ConditionStatus::False;
constexpr auto kUnknown = ConditionStatus::Unknown;
constexpr std::size_t kMaxQuoted = 1024;

// A change that owns its message.
struct Change {
  ConditionStatus status;
  std::string reason;
  std::string message;
};

Change unknown_yet(const Outcome& outcome, std::string_view what) {
  if (outcome.ended) return {kUnknown, "NotReached", "the run ended before " + std::string(what)};
  return {kUnknown, "Pending", std::string(what) + " is still to come"};
}

Change failed(const Outcome& outcome) {
  return {kFalse, std::string(to_string(outcome.verdict.reason)), outcome.verdict.message};
}

Change succeeded(const Outcome& outcome) {
  const Reason reason = outcome.verdict.reason;
  const ConditionStatus status = !outcome.ended                ? kUnknown
                                 : reason == Reason::Completed ? kTrue
                                                               : kFalse;
  return {status, std::string(to_string(reason)), outcome.verdict.message};
}

bool run_began(const Context& context) {
  const Ended* ended = context.facts.run.ended();
  return context.facts.run.started() != nullptr || (ended != nullptr && !is_invented(*ended));
}

// Prepare ended, and all that it had to do is done.
bool is_prepared(const Context& context) {
  return context.facts.prepare.ended() != nullptr &&
         !judge_prepare(context.plan, context.facts, context.evidence);
}

// What earlier decisions on this attempt found stays found, also when its object is gone.
std::optional<Change> kept(const Context& context, ConditionType type) {
  if (context.recorded() == nullptr) return std::nullopt;
  const Condition* condition = context.previous.find(type);
  if (condition == nullptr || condition->status == kUnknown) return std::nullopt;
  return Change{condition->status, condition->reason, condition->message};
}

Change environment_verified(const Context& context, const Outcome& outcome) {
  switch (outcome.verdict.reason) {
    case Reason::EnvironmentFetchFailed:
    case Reason::EnvironmentDigestMismatch:
    case Reason::EnvironmentUnpackFailed:
    case Reason::SignatureInvalid:
      if (outcome.ended) return failed(outcome);
      break;
    default:
      break;
  }
  if (context.plan.archive) {
    if (is_prepared(context)) {
      return {kTrue, "DigestMatched", "the archive's digest is the one that was asked for"};
    }
  } else if (run_began(context)) {
    return {kTrue, "ImageByDigest", "the image was run by its digest; there is no archive"};
  }
  if (auto change = kept(context, ConditionType::EnvironmentVerified)) return *change;
  return unknown_yet(outcome, "the environment's verification");
}

Change assets_placed(const Context& context, const Outcome& outcome) {
  if (context.plan.assets.empty()) return {kTrue, "NoAssets", "the run has no assets"};
  switch (outcome.verdict.reason) {
    case Reason::AssetFetchFailed:
    case Reason::AssetDigestMismatch:
    case Reason::AssetPlaceFailed:
      if (outcome.ended) return failed(outcome);
      break;
    default:
      break;
  }
  if (is_prepared(context)) return {kTrue, "Placed", "every asset is in its place"};
  if (auto change = kept(context, ConditionType::AssetsPlaced)) return *change;
  return unknown_yet(outcome, "the placement of assets");
}

Change results_stored(const Context& context, const Outcome& outcome) {
  if (!has_collector(context.plan, context.facts)) {
    return context.plan.results ? Change{kFalse, "Skipped", "results.skipUpload is true"}
                                : Change{kFalse, "NotRequested", "the run has no results"};
  }
  const bool collected =
      context.facts.collect.ended() != nullptr && context.facts.run.ended() != nullptr;
  if (collected) {
    if (const auto bad = judge_collect(context.facts, context.evidence)) {
      return {kFalse, std::string(to_string(bad->reason)), bad->message};
    }
    return {kTrue, "Stored", "the results archive is stored"};
  }
  if (auto change = kept(context, ConditionType::ResultsStored)) return *change;
  if (outcome.ended) return {kFalse, "NotReached", "the run ended before its results were stored"};
  return unknown_yet(outcome, "the storing of results");
}

Change network_isolated(const Context& context) {
  const std::string& why = context.observation.isolation_message;
  switch (context.observation.isolation) {
    case Isolation::Enforced:
      return {kTrue, "Enforced", "the network around the sandbox is closed, as far as asked for"};
    case Isolation::NotEnforced:
      return {kFalse, "NotEnforced",
              "network policies are not enforced here; the guard alone "
              "seals the run"};
    case Isolation::Waived:
      return {kUnknown, "Waived", "the administrator vouches for network isolation"};
    case Isolation::Unknown:
      break;
  }
  if (!why.empty()) return {kUnknown, "ProbeInconclusive", clean_text(why, kMaxQuoted)};
  return {kUnknown, "NotProbed", "nobody has probed whether network policies are enforced"};
}

Change suspended(const Outcome& outcome, const Wishes& wishes, const Status& previous,
                 bool exists) {
  if (!outcome.ended && outcome.verdict.reason == Reason::Suspended) {
    return {kTrue, "Suspended", "spec.suspend is true"};
  }
  const Condition* before = previous.find(ConditionType::Suspended);
  const bool resumed =
      before != nullptr && (before->status == kTrue || before->reason == "Resumed");
  if (wishes.suspend && exists && !resumed) {
    return {kFalse, "AlreadyStarted", "an attempt exists; spec.suspend only holds back new ones"};
  }
  return resumed ? Change{kFalse, "Resumed", "spec.suspend was true before"}
                 : Change{kFalse, "NotSuspended", ""};
}

Change reconciling(const Outcome& outcome) {
  if (outcome.ended) return {kFalse, "Finished", "the run has ended"};
  const Reason shown = outcome.asked.value_or(outcome.verdict.reason);
  return {kTrue, std::string(to_string(shown)),
          outcome.asked ? "the attempt was asked to stop" : std::string(info(shown).meaning)};
}

Change stalled(const Outcome& outcome) {
  if (!outcome.ended) return {kFalse, "Progressing", ""};
  if (outcome.verdict.reason == Reason::Completed) return {kFalse, "Finished", ""};
  return {kTrue, std::string(to_string(outcome.verdict.reason)), outcome.verdict.message};
}

}  // namespace

void write_conditions(const Context* context, const Outcome& outcome, const Wishes& wishes,
                      TimePoint now, Status& status) {
  const Status before = status;
  const auto set = [&](ConditionType type, const Change& change) {
    set_condition(status, type, {change.status, change.reason, change.message}, now,
                  wishes.generation);
  };
  const Change never{kUnknown, "NotReached", "the run was refused"};
  set(ConditionType::Succeeded, succeeded(outcome));
  set(ConditionType::EnvironmentVerified,
      context == nullptr ? never : environment_verified(*context, outcome));
  set(ConditionType::AssetsPlaced, context == nullptr ? never : assets_placed(*context, outcome));
  set(ConditionType::ResultsStored, context == nullptr
                                        ? Change{kFalse, "NotReached", "the run was refused"}
                                        : results_stored(*context, outcome));
  set(ConditionType::NetworkIsolated, context == nullptr ? never : network_isolated(*context));
  const bool exists = context != nullptr && context->facts.presence == Presence::Present;
  set(ConditionType::Suspended, suspended(outcome, wishes, before, exists));
  set(ConditionType::Reconciling, reconciling(outcome));
  set(ConditionType::Stalled, stalled(outcome));
}

}  // namespace sandboxrun::run
