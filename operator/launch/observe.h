#pragma once

#include <string>

#include "operator/base/error.h"
#include "operator/base/time.h"
#include "operator/launch/run_process.h"
#include "operator/run/decide.h"
#include "operator/run/observation.h"
#include "operator/run/plan.h"
#include "operator/run/status.h"
#include "sandbox-image/protocol/report.h"

namespace sandboxrun::launch {

/// What went wrong before the sandbox ran, as run::decide() tells it apart.
enum class Obstacle {
  Image,      ///< it could not be had, verified or unpacked
  Runtime,    ///< there is no trustworthy runtime
  Reference,  ///< a Secret or ConfigMap, or a key of one, is missing
  Sandbox,    ///< anything else that is needed to make the sandbox
};

/// What of a run came before the attempt that is to be made.
struct History {
  TimePoint created;   ///< when the run, not the attempt, was asked for
  run::Status status;  ///< after the attempts so far; as new before the first
};

/// Gathers the facts of one attempt; judging them is run::decide()'s alone.
class Observer {
 public:
  /// `begun`: this attempt.
  Observer(const run::Plan& plan, std::string id, std::string token, TimePoint begun,
           History history);

  void name(std::string id) { facts_.name = facts_.uid = std::move(id); }
  void failed(Obstacle obstacle, const Error& error);
  void stopped(run::Reason reason, TimePoint at);
  void prepared(const protocol::PrepareReport& report, TimePoint start, TimePoint finish);
  void ran(const RunEnd& end, const std::string& stage_path);
  void collected(const protocol::CollectReport& report, TimePoint start, TimePoint finish);
  /// Nothing changes any more: the status, by run::decide(). It has ended, or its reason is
  /// Retrying.
  run::Status conclude(TimePoint now);
  /// The network cannot be fenced as the plan asks: nothing was started.
  run::Status refuse_network(TimePoint now);

 private:
  const run::Plan& plan_;
  run::Status previous_;
  run::Observation observation_;
  run::AttemptFacts& facts_ = observation_.attempt;
};

/// Between two attempts: what run::decide() says now that `cancel` was asked for or not.
run::Decision decide_next(const run::Plan& plan, const History& history, bool cancel,
                          TimePoint now);

/// What a runtime said when it failed to start, as it may be shown: one line, no host paths.
std::string clean_runtime_words(std::string words, const std::string& stage_path);

}  // namespace sandboxrun::launch
