#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace sandboxrun::run {

/// Why a run stands where it stands: the closed list of docs/reference/reasons.md. It is the reason
/// of the condition Succeeded, of an attempt, and a metric label.
/// Invariant: PodRefused and NodeLost may be a stage or an end; every other reason is one of both.
enum class Reason {
  // Stages
  Pending,
  Suspended,
  PodRefused,
  Unschedulable,
  SchedulingGated,
  Preparing,
  Running,
  Collecting,
  Retrying,
  NodeLost,
  // Ends
  Completed,
  InvalidSpec,
  PolicyDenied,
  PodMutated,
  PodTampered,
  NameConflict,
  ReferenceMissing,
  ImagePullFailed,
  SignatureInvalid,
  RuntimeClassUnavailable,
  NetworkIsolationUnavailable,
  NodeRejected,
  SandboxStartFailed,
  GuardFailed,
  EnvironmentFetchFailed,
  EnvironmentDigestMismatch,
  EnvironmentUnpackFailed,
  AssetFetchFailed,
  AssetDigestMismatch,
  AssetPlaceFailed,
  AgentReportInvalid,
  SetupFailed,
  StartFailed,
  NonZeroExit,
  Signaled,
  OOMKilled,
  Evicted,
  EphemeralStorageExceeded,
  Preempted,
  Disrupted,
  DeadlineExceeded,
  StartDeadlineExceeded,
  ResultsRejected,
  ResultsUploadFailed,
  CollectorFailed,
  Cancelled,
  PodLost,
};

/// Where in a run's life a reason may stand.
enum class ReasonUse { Stage, End, Both };

/// One row of docs/reference/reasons.md.
struct ReasonInfo {
  Reason reason;
  std::string_view name;  ///< as it is written in a status
  ReasonUse use;
  bool retryable;            ///< counts against backoffLimit instead of ending the run
  std::string_view meaning;  ///< one sentence: what was observed
  std::string_view advice;   ///< one sentence: what to do
};

/// Every reason, in the order of the enumeration.
std::span<const ReasonInfo> all_reasons();

const ReasonInfo& info(Reason reason);
std::string_view to_string(Reason reason);
std::optional<Reason> parse_reason(std::string_view name);

/// Whether a run may end with it. PodRefused and NodeLost may also be stages: whether a run *has*
/// ended is `Status::ended()`, never the reason alone.
bool is_terminal(Reason reason);

/// Whether a further attempt may be made after an attempt that ended so (backoffLimit permitting,
/// and only if no results were stored).
bool is_retryable(Reason reason);

}  // namespace sandboxrun::run
