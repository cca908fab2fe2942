#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "operator/launch/launch.h"
#include "operator/run/plan.h"
#include "sandbox-image/agent/agent.h"

namespace sandboxrun::launch {

/// Tells the caller when one stage begins, how far it is, and when it ended; of one that began and
/// is given up, that it did not finish.
class StageEvents {
 public:
  StageEvents(const Events& events, Stage stage, bool begin_now = true);
  ~StageEvents();
  StageEvents(const StageEvents&) = delete;
  StageEvents& operator=(const StageEvents&) = delete;

  void begin();
  void progress(std::int64_t done, std::int64_t total, std::string_view unit) const;
  void ended(std::string_view summary);

 private:
  const Events& events_;
  Stage stage_;
  std::chrono::steady_clock::time_point start_;
  bool open_ = false;  // began, and has not ended
};

/// The stages Environment and Assets, told apart from the agent's progress.
class PrepareEvents {
 public:
  /// `cached`: the environment is there already.
  PrepareEvents(const Events& events, const run::Plan& plan, bool cached);
  void progress(const agent::AgentProgress& progress);
  void ended(const protocol::PrepareReport& report);

 private:
  void enter(Stage stage);
  std::string environment_summary() const;
  std::string assets_summary(const protocol::PrepareReport& report) const;

  const Events& events_;
  const run::Plan& plan_;
  const bool cached_;
  std::int64_t fetched_bytes_ = 0;  // of the environment
  std::int64_t unpacked_entries_ = 0;
  std::optional<StageEvents> current_;
  Stage stage_ = Stage::Environment;
};

/// The stage Results.
class CollectEvents {
 public:
  explicit CollectEvents(const Events& events) : stage_(events, Stage::Results) {}
  void progress(const agent::AgentProgress& progress) const;
  void ended(const protocol::CollectReport& report, const std::string& file);

 private:
  StageEvents stage_;
};

/// "48.2 MB"
std::string human_size(std::int64_t bytes);

}  // namespace sandboxrun::launch
