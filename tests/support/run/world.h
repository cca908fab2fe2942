#pragma once

#include <string>

#include "operator/run/decide.h"
#include "operator/run/plan.h"
#include "sandbox-image/protocol/report.h"

/// A run in the middle of its life, for tests of decide(): a plan, what is seen, what was written
/// before, and the time. A fresh World is a run with an archive, an asset and an upload that went
/// well in every respect; a test spoils one thing and looks at what is decided.
namespace sandboxrun::run::testing {

inline constexpr const char* kToken = "4f0c";
inline const std::string kDigest = "sha256:" + std::string(64, 'a');
inline const std::string kOtherDigest = "sha256:" + std::string(64, 'b');

/// `seconds` after the run's creation.
TimePoint at(double seconds);

/// What a guard's record says; the default is a clean exit.
struct Record {
  std::string token = kToken;
  std::string stage = "run";
  std::string cause = "exited";
  int code = 0;
  bool started = true;
  int child_code = 0;  ///< -1: none
  int signal = 0;
  int step = -1;
  std::string message = "all done";
  std::string detail = "";
};
std::string write(const Record& record);

std::string good_prepare_report();
std::string good_collect_report();
std::string failed_prepare_report(protocol::Subject subject, protocol::Step step, ErrorKind kind);
std::string failed_collect_report(protocol::Step step, ErrorKind kind);

/// One step's end.
Ended ended(int exit_code, double start, double finish, std::string message,
            std::string runtime_reason = "");

struct World {
  Plan plan;
  Observation seen;
  Status previous;
  TimePoint now;

  World();

  AttemptFacts& pod() { return seen.attempt; }
  Ended& run() { return std::get<Ended>(seen.attempt.run.state); }
  Ended& prepare() { return std::get<Ended>(seen.attempt.prepare.state); }
  Ended& collect() { return std::get<Ended>(seen.attempt.collect.state); }
  Decision decide() const { return run::decide(plan, seen, previous, now); }

  /// The command ended so, and the record says the same.
  void exits(int code);
  /// Nothing was ever created.
  void not_created();
  /// Created, not on a node yet.
  void not_scheduled();
  /// On a node; prepare runs.
  void preparing();
  /// The command runs.
  void running();
  /// The command has ended, the collector is at work.
  void collecting();
  /// The attempt ended before its command could start.
  void never_started();
  /// The archive, the asset and the upload are not wanted: only the command remains.
  void only_a_command();
  /// We asked it to stop.
  void stopped(Reason reason, double when);
  void interrupted(InterruptionKind kind, std::optional<double> when);
  /// Decides, and takes the result for what was written before.
  Decision step();
};

}  // namespace sandboxrun::run::testing
