#pragma once

#include <optional>
#include <string>
#include <vector>

#include "operator/run/decide.h"
#include "operator/run/evidence.h"
#include "operator/run/plan.h"
#include "operator/run/verdict.h"

/// What the parts of `decide()` share. Not for others.
namespace sandboxrun::run {

/// Between a refused try to create an attempt and the next one: as long as the run has waited, so
/// that what a new namespace lacks for a moment costs a moment; within these bounds.
inline constexpr Milliseconds kFirstRefusalDelay = std::chrono::seconds(1);
inline constexpr Milliseconds kRefusalDelay = std::chrono::seconds(30);
/// How long a node may stay away before a run of it is given up. Longer than the five minutes after
/// which Kubernetes evicts the pods of a lost node.
inline constexpr Milliseconds kNodeLostBound = std::chrono::minutes(10);
/// How long a moment may last that is not worth a write before it is told all the same.
inline constexpr Milliseconds kPassing = std::chrono::seconds(5);
/// What the operator's own deadlines wait beyond the guard's and the collector's.
inline constexpr Milliseconds kBackstopSlack = std::chrono::seconds(60);

/// Delay before attempt `finished + 1`: 10 s x 2^(finished - 1), at most 6 minutes.
Milliseconds retry_delay(int finished);

struct Context {
  const Plan& plan;
  const Observation& observation;
  const AttemptFacts& facts;
  const Evidence& evidence;
  const Status& previous;
  TimePoint now;

  /// The attempt's entry in the status, if it was recorded and has not finished.
  const AttemptStatus* recorded() const;
  /// The stop that the status has on record.
  std::optional<StopCause> asked() const;
  /// The moment from which spec.startDeadlineSeconds counts: creation, resume, or the end of a
  /// retry's delay.
  TimePoint start_base() const;
  TimePoint start_deadline() const;
};

/// Where a run stands after one decision.
struct Outcome {
  Verdict verdict;              ///< stage or end
  bool ended = false;           ///< the run's end
  bool attempt_over = false;    ///< the attempt is, maybe not the run
  bool passing = false;         ///< of a moment that is not worth a write: the status stays
  std::optional<Reason> asked;  ///< the stop to keep on record
  std::vector<Action> actions;
  std::optional<TimePoint> wake;

  void wake_at(TimePoint time) {
    if (!wake || time < *wake) wake = time;
  }
};

Outcome stage(Reason reason, std::string message);
Outcome end(Verdict verdict);

/// No attempt exists yet, or the next one is due.
Outcome before_creation(const Context& context);
/// The attempt's object exists.
Outcome while_present(const Context& context);
/// The attempt's object was recorded and is gone.
Outcome when_gone(const Context& context);
/// The attempt is over: the run's end, or another attempt.
Outcome conclude(const Context& context, Verdict verdict);

/// Writes every condition; `context` is nullptr for a run that never had a plan.
void write_conditions(const Context* context, const Outcome& outcome, const Wishes& wishes,
                      TimePoint now, Status& status);

/// The next status.
Status write_status(const Context& context, const Outcome& outcome);
/// The status of a run that ends without ever having had a plan.
Status write_refusal(const Status& previous, const Wishes& wishes, const Verdict& verdict,
                     TimePoint now);

}  // namespace sandboxrun::run
