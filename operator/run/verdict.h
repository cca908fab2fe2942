#pragma once

#include <optional>
#include <string>

#include "operator/run/evidence.h"
#include "operator/run/observation.h"
#include "operator/run/plan.h"
#include "operator/run/reasons.h"

/// What an attempt's facts mean: the order of causes in docs/reference/status.md.
namespace sandboxrun::run {

struct Verdict {
  Reason reason = Reason::Pending;
  std::string message;
};

/// A stop that was asked for and may have come before an end.
struct StopCause {
  Reason reason = Reason::Cancelled;
  std::optional<TimePoint> at;
  std::string message;
};

/// Why a finished attempt ended.
/// Assumes: nothing of it runs any more. `asked` is the stop that the status has on record, with
/// the message that it was given.
Verdict judge(const Plan& plan, const AttemptFacts& facts, const Evidence& evidence,
              const std::optional<StopCause>& asked);

/// What prepare did wrong, or nothing. Also wrong is a report that doesn't fit the plan.
std::optional<Verdict> judge_prepare(const Plan& plan, const AttemptFacts& facts,
                                     const Evidence& evidence);

/// What collect did wrong, or nothing. Assumes: the attempt has a collector.
std::optional<Verdict> judge_collect(const AttemptFacts& facts, const Evidence& evidence);

/// The first stop that isn't proven to have been asked for after `finish` (nothing: after no end).
/// Times of whole seconds prove an order only if the seconds differ.
std::optional<StopCause> first_stop(const AttemptFacts& facts,
                                    const std::optional<StopCause>& asked,
                                    const std::optional<TimePoint>& finish);

/// How the object was changed after it was admitted, or nothing.
std::optional<Verdict> find_tampering(const AttemptFacts& facts);

/// The cause that keeps a step from starting, or nothing.
struct StartTrouble {
  Verdict verdict;
  Milliseconds patience{0};  ///< how long it may last before the attempt is given up
};
std::optional<StartTrouble> find_start_trouble(const AttemptFacts& facts);

/// The attempt has a step that collects and stores results.
bool has_collector(const Plan& plan, const AttemptFacts& facts);

/// The runtime's own account of this end is an invention (a lost container, one that never began):
/// its exit code and times mean nothing.
bool is_invented(const Ended& ended);

}  // namespace sandboxrun::run
