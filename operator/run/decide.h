#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "operator/base/time.h"
#include "operator/run/observation.h"
#include "operator/run/status.h"

/// The state machine of a run. The operator and the launcher do the same with it: observe, decide,
/// write the status, act.
namespace sandboxrun::run {

struct Plan;

/// Look for the attempt's object at its source, not in a cache; the next observation says Absent,
/// Present or Foreign.
struct LookLive {
  friend bool operator==(const LookLive&, const LookLive&) = default;
};
/// Apply the network policies that the plan needs.
struct ApplyPolicies {
  friend bool operator==(const ApplyPolicies&, const ApplyPolicies&) = default;
};
/// Create attempt `number`, under its deterministic name.
struct CreateAttempt {
  int number = 1;
  friend bool operator==(const CreateAttempt&, const CreateAttempt&) = default;
};
/// Let the recorded attempt start.
struct Ungate {
  friend bool operator==(const Ungate&, const Ungate&) = default;
};
/// Ask a placed attempt to end, run first, collector after it, and note reason and time on it.
/// Asking again changes neither.
struct Stop {
  Reason reason = Reason::Cancelled;
  TimePoint at;
  friend bool operator==(const Stop&, const Stop&) = default;
};
/// Delete the attempt's object (this uid only). Only asked for what cannot have started, and for
/// what a lost node holds.
struct DeleteAttempt {
  Reason reason = Reason::Cancelled;
  friend bool operator==(const DeleteAttempt&, const DeleteAttempt&) = default;
};
/// The run has outlived ttlSecondsAfterFinished: delete it.
struct DeleteRun {
  friend bool operator==(const DeleteRun&, const DeleteRun&) = default;
};

/// All actions may be repeated without harm: a lost reply or a crash is cured by asking again.
using Action =
    std::variant<LookLive, ApplyPolicies, CreateAttempt, Ungate, Stop, DeleteAttempt, DeleteRun>;

struct Decision {
  std::vector<Action> actions;
  Status status;                              ///< the next one, complete
  std::optional<Milliseconds> requeue_after;  ///< decide again then, even if nothing happens
};

/// Decides on one run. Pure.
/// Guarantees: an ended status never changes but for observedGeneration; Succeeded=True only as
/// docs/reference/status.md says; every action is safe to repeat; at most one CreateAttempt for an
/// attempt whose uid is not in the status.
/// Assumes: `observation.attempt.number` is `attempt_to_observe(previous)`. The status is written
/// before the actions Ungate and Stop are done, so that a crash between them loses nothing.
Decision decide(const Plan& plan, const Observation& observation, const Status& previous,
                TimePoint now);

/// The end of a run that got no plan: `reason` is InvalidSpec or PolicyDenied, `message` says all
/// that is wrong. A run that has attempts already is left as it is.
Decision decide_refused(Reason reason, std::string_view message, const Wishes& wishes,
                        const Status& previous, TimePoint now);

/// The number (from 1) of the attempt whose facts `decide` needs next.
int attempt_to_observe(const Status& previous);

}  // namespace sandboxrun::run
