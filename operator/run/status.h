#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "operator/base/document.h"
#include "operator/base/error.h"
#include "operator/base/time.h"
#include "operator/run/reasons.h"

/// The status of a SandboxRun: docs/reference/status.md. The same struct is written by the operator
/// and printed by the launcher.
namespace sandboxrun::run {

enum class ConditionType {
  Succeeded,
  EnvironmentVerified,
  AssetsPlaced,
  ResultsStored,
  NetworkIsolated,
  Suspended,
  Reconciling,
  Stalled,
};
inline constexpr int kConditionCount = 8;
std::string_view to_string(ConditionType type);

enum class ConditionStatus { Unknown, True, False };
std::string_view to_string(ConditionStatus status);

/// A metav1.Condition.
struct Condition {
  ConditionType type = ConditionType::Succeeded;
  ConditionStatus status = ConditionStatus::Unknown;
  std::string reason;
  std::string message;
  TimePoint last_transition;
  std::int64_t observed_generation = 0;
  friend bool operator==(const Condition&, const Condition&) = default;
};

struct RunResult {
  std::optional<int> exit_code;
  std::optional<int> signal;
  std::string message;  ///< the user's own text, escaped; untrusted
  std::optional<TimePoint> start;
  std::optional<TimePoint> finish;
  friend bool operator==(const RunResult&, const RunResult&) = default;
};

struct ImageStatus {
  std::string reference;
  std::string image_id;
  friend bool operator==(const ImageStatus&, const ImageStatus&) = default;
};

struct ArchiveStatus {
  std::string digest;
  std::int64_t bytes = 0;
  std::int64_t entries = 0;
  friend bool operator==(const ArchiveStatus&, const ArchiveStatus&) = default;
};

struct AssetStatus {
  std::string name;
  std::string digest;
  std::int64_t bytes = 0;
  friend bool operator==(const AssetStatus&, const AssetStatus&) = default;
};

struct ResultsStatus {
  std::string digest;
  std::int64_t bytes = 0;
  std::int64_t entries = 0;
  bool stored = false;
  friend bool operator==(const ResultsStatus&, const ResultsStatus&) = default;
};

/// Whole seconds from the attempt's times; milliseconds only where a report or the launcher
/// measured them.
struct Timings {
  std::optional<std::int64_t> waiting_seconds;  ///< from the run's creation to the first step
  std::optional<std::int64_t> run_seconds;
  std::optional<std::int64_t> total_seconds;  ///< from the run's creation to its end
  std::optional<std::int64_t> prepare_milliseconds;
  std::optional<std::int64_t> run_milliseconds;
  std::optional<std::int64_t> collect_milliseconds;
  friend bool operator==(const Timings&, const Timings&) = default;
};

/// One attempt. `reason` of an attempt without `finish` is the stop that was asked of it: this is
/// how a cancellation stays latched.
struct AttemptStatus {
  std::string pod_name;
  std::string pod_uid;
  std::string node_name;
  std::optional<Reason> reason;
  std::optional<int> exit_code;
  std::optional<TimePoint> start;   ///< of the run's container
  std::optional<TimePoint> finish;  ///< when the attempt was found over
  friend bool operator==(const AttemptStatus&, const AttemptStatus&) = default;
};

struct Status {
  std::int64_t observed_generation = 0;
  std::vector<Condition> conditions;  ///< all of them, in the order of ConditionType
  std::optional<RunResult> run;
  std::optional<ImageStatus> image;
  std::optional<ArchiveStatus> archive;
  std::vector<AssetStatus> assets;
  std::optional<ResultsStatus> results;
  std::string duration;  ///< "2m31s", at the end
  Timings timings;
  std::vector<AttemptStatus> attempts;  ///< by number, at most 11

  const Condition* find(ConditionType type) const;
  /// Succeeded is True or False: nothing changes this any more.
  bool ended() const;
  bool succeeded() const;
  /// The stage or the final reason; Pending for a status that was never written.
  Reason reason() const;
  friend bool operator==(const Status&, const Status&) = default;
};

inline constexpr std::size_t kMaxConditionMessage = 32768;  ///< metav1.Condition

/// What a condition is to become.
struct ConditionChange {
  ConditionStatus status = ConditionStatus::Unknown;
  std::string_view reason;  ///< CamelCase
  std::string_view message;
};

/// Sets a condition. Guarantees: lastTransitionTime changes only when `status` does; the message is
/// valid UTF-8, holds no control characters and no URL query, and is at most kMaxConditionMessage
/// bytes long.
void set_condition(Status& status, ConditionType type, const ConditionChange& change, TimePoint now,
                   std::int64_t generation);

/// The status as one JSON object, fields named as in the CRD; empty fields are left out, conditions
/// never.
std::string encode_status(const Status& status);

/// Reads what `encode_status` wrote, and what the CRD's default writes. Unknown fields are ignored,
/// so that an older operator can read a newer one's status. Errors: InvalidInput.
Result<Status> decode_status(const Node& node);

}  // namespace sandboxrun::run
