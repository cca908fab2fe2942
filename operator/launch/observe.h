#pragma once

#include <string>

#include "operator/base/error.h"
#include "operator/base/time.h"
#include "operator/launch/run_process.h"
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

/// Gathers the facts of one local run; judging them is run::decide()'s alone.
class Observer {
 public:
  Observer(const run::Plan& plan, std::string id, std::string token, TimePoint created);

  void name(std::string id) { facts_.name = facts_.uid = std::move(id); }
  void failed(Obstacle obstacle, const Error& error);
  void stopped(run::Reason reason, TimePoint at);
  void prepared(const protocol::PrepareReport& report, TimePoint start, TimePoint finish);
  void ran(const RunEnd& end, const std::string& stage_path);
  void collected(const protocol::CollectReport& report, TimePoint start, TimePoint finish);
  /// Nothing changes any more: the final status, by run::decide().
  run::Status conclude(TimePoint now);
  /// The network cannot be fenced as the plan asks: nothing was started.
  run::Status refuse_network(TimePoint now);

 private:
  run::Plan plan_;
  run::Observation observation_;
  run::AttemptFacts& facts_ = observation_.attempt;
};

/// What a runtime said when it failed to start, as it may be shown: one line, no host paths.
std::string clean_runtime_words(std::string words, const std::string& stage_path);

}  // namespace sandboxrun::launch
