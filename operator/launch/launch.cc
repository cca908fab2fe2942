#include "operator/launch/launch.h"

#include <thread>

#include "operator/launch/bundle.h"
#include "operator/launch/image_store.h"
#include "operator/launch/launcher.h"
#include "operator/launch/references.h"

namespace sandboxrun::launch {
namespace {

Outcome unable(const run::Plan& plan, const Error& error) {
  const TimePoint now =
      std::chrono::time_point_cast<Milliseconds>(std::chrono::system_clock::now());
  Observer observer(plan, plan.name, "", now);
  observer.failed(Obstacle::Sandbox, error);
  return {.status = observer.conclude(now)};
}

}  // namespace

Outcome launch(const run::Plan& plan, const Options& options, const Events& events,
               std::stop_token cancel) {
  Outcome outcome;
  // A thread can have a mount namespace of its own; the caller's stays as it is.
  std::thread worker([&] {
    if (auto entered = enter_private_mounts(); !entered) {
      outcome = unable(plan, entered.error());
      return;
    }
    outcome = Launcher(plan, options, events, std::move(cancel)).run();
  });
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
