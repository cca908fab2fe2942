#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "operator/launch/bundle.h"
#include "operator/launch/cgroup.h"
#include "operator/launch/environment_cache.h"
#include "operator/launch/host.h"
#include "operator/launch/image_store.h"
#include "operator/launch/launch.h"
#include "operator/launch/observe.h"
#include "operator/launch/stage_folder.h"
#include "operator/launch/start_deadline.h"
#include "operator/run/orders.h"

namespace sandboxrun::launch {

/// One attempt, from its plan to its outcome: each step is a function, run() is their order.
/// Lives on a thread of its own, whose mount namespace is private.
class Launcher {
 public:
  Launcher(const run::Plan& plan, const Options& options, const Events& events,
           std::stop_token cancel, History history);

  Outcome run();

 private:
  bool check_host();
  bool make_stage();
  bool get_image();
  bool get_environment();
  bool fill_volumes();
  bool make_bundle();
  bool execute();
  void collect();
  void clean_up();

  bool fail(Obstacle obstacle, const Error& error);
  void note_stop();
  run::Layout layout() const;
  Result<void> add_mounts();

  const run::Plan& plan_;
  const Options& options_;
  const Events& events_;
  std::stop_token cancel_;
  TimePoint begun_;
  std::string token_;
  Observer observer_;
  StartDeadline deadline_;

  Program runtime_;
  UniqueFd guard_;
  std::uint32_t id_base_ = 0;
  std::optional<Cgroup> cgroup_;
  std::optional<StageFolder> stage_;
  std::vector<EnvValue> values_;
  std::optional<RootFs> rootfs_;
  std::optional<EnvironmentSlot> environment_;
  RunEnd end_;
  Outcome outcome_;
  std::string clean_up_problem_;
};

}  // namespace sandboxrun::launch
