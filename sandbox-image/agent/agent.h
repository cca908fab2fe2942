#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "operator/base/fd.h"
#include "sandbox-image/protocol/report.h"
#include "sandbox-image/protocol/work_order.h"

namespace sandboxrun::agent {

/// What the agent is doing just now, for whoever draws it.
struct AgentProgress {
  protocol::Subject subject;
  int index = -1;
  protocol::Step step;
  std::int64_t done = 0;   ///< bytes, or entries while unpacking
  std::int64_t total = 0;  ///< 0: unknown
};

struct AgentContext {
  std::string staging_dir;  ///< a 0700 folder of ours for unlinked files
  /// Who owns what is placed (needs root); nothing: whoever we are.
  std::optional<std::pair<uid_t, gid_t>> owner;
  std::stop_token stop;
  std::function<void(const AgentProgress&)> progress;
  /// Offers an environment that is unpacked already (the launcher's cache), asked before anything
  /// is fetched. What it returns goes into the report, and nothing is fetched or unpacked.
  std::function<std::optional<protocol::Placed>(const protocol::EnvironmentOrder&)>
      have_environment;
};

/// Verifies, unpacks and places all that the order names, in its order; stops at the first
/// failure, which the report carries. Nothing is placed of what did not verify.
protocol::PrepareReport prepare(const protocol::PrepareOrder& order, const AgentContext& context);

struct Collected {
  protocol::CollectReport report;
  UniqueFd archive;  ///< the archive as hashed, for a caller that stores it itself
};

/// Archives, hashes and, if the order names a target, uploads the results folder.
Collected collect(const protocol::CollectOrder& order, const AgentContext& context);

}  // namespace sandboxrun::agent
