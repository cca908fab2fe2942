#include "operator/launch/launch.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "operator/base/fd.h"
#include "operator/launch/bundle.h"
#include "operator/launch/cgroup.h"
#include "operator/launch/image_store.h"
#include "operator/launch/launcher.h"
#include "operator/launch/observe.h"
#include "operator/launch/references.h"
#include "operator/launch/wall_clock.h"

namespace sandboxrun::launch {
namespace {

Outcome unable(const run::Plan& plan, const Error& error) {
  const TimePoint begun = wall_clock();
  Observer observer(plan, plan.name, "", begun, {.created = begun, .status = {}});
  observer.failed(Obstacle::Sandbox, error);
  return {.status = observer.conclude(begun)};
}

/// Waits until the next attempt may begin. False: there is none, and the history has its end.
bool await_next(const run::Plan& plan, History& history, const std::stop_token& cancel) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  while (true) {
    run::Decision decision = decide_next(plan, history, cancel.stop_requested(), wall_clock());
    if (decision.status.ended()) {
      history.status = std::move(decision.status);
      return false;
    }
    const auto create = [](const run::Action& action) {
      return std::holds_alternative<run::CreateAttempt>(action);
    };
    if (std::ranges::any_of(decision.actions, create)) return true;
    const auto pause = decision.requeue_after.value_or(std::chrono::seconds(1));
    wake.wait_for(lock, cancel, pause, [] { return false; });
  }
}

std::string message_of(const run::Status& status) {
  const run::Condition* succeeded = status.find(run::ConditionType::Succeeded);
  return succeeded == nullptr ? "" : succeeded->message;
}

/// One attempt after the other, until the run has ended.
Outcome attempt_all(const run::Plan& plan, const Options& options, const Events& events,
                    const std::stop_token& cancel) {
  History history{.created = wall_clock(), .status = {}};
  bool started = false;
  while (true) {
    Outcome outcome = Launcher(plan, options, events, cancel, history).run();
    started = outcome.started = started || outcome.started;
    if (outcome.status.ended()) return outcome;
    if (events.retrying) events.retrying(message_of(outcome.status));
    history.status = std::move(outcome.status);
    if (!await_next(plan, history, cancel)) {
      outcome.status = std::move(history.status);
      return outcome;
    }
  }
}

}  // namespace

Outcome launch(const run::Plan& plan, const Options& options, const Events& events,
               std::stop_token cancel) {
  Outcome outcome;
  const UniqueFd over(eventfd(0, EFD_CLOEXEC));
  if (!over) return unable(plan, system_failure("preparing a run", errno).error());
  // A thread can have a mount namespace of its own; the caller's stays as it is.
  std::thread worker([&] {
    const auto entered = enter_private_mounts();
    outcome = entered ? attempt_all(plan, options, events, cancel) : unable(plan, entered.error());
    eventfd_write(over.get(), 1);
  });
  open_cgroups_for_moves();
  if (options.meanwhile) options.meanwhile(over.get());
  worker.join();
  return outcome;
}

Result<std::string> render_bundle(const run::Plan& plan, const Options& options) {
  auto base = subordinate_base(options.subordinate_id);
  if (!base) return std::unexpected(base.error());
  auto config = known_image_config(
      plan.image,
      {.cache_dir = options.cache_dir, .layouts = options.image_layouts, .id_base = *base});
  if (!config) return std::unexpected(config.error());
  return render_config({.plan = plan,
                        .env = run_environment(config->value_or(ImageConfig{}),
                                               describe_environment(plan), "[token]"),
                        .mounts = bundle_mounts(plan),
                        .id_base = *base,
                        .cgroup_path = "/sandboxrun-[id]"});
}

}  // namespace sandboxrun::launch
