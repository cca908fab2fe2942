#pragma once

#include <optional>
#include <string>

#include "operator/run/observation.h"
#include "sandbox-image/protocol/guard_record.h"
#include "sandbox-image/protocol/report.h"

namespace sandboxrun::run {

/// What the steps of an attempt left behind, as far as it can be believed. Where something is
/// missing, its `_problem` says why, in a sentence's second half ("left no report").
struct Evidence {
  /// Only a record with the attempt's own token; any other counts as none (threats T22, T23).
  std::optional<protocol::GuardRecord> record;
  std::string record_problem;
  std::optional<protocol::PrepareReport> prepare;
  std::string prepare_problem;
  std::optional<protocol::CollectReport> collect;
  std::string collect_problem;
};

Evidence read_evidence(const AttemptFacts& facts);

}  // namespace sandboxrun::run
