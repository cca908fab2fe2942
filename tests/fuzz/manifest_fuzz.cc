// Feeds bytes to the readers of manifests and, as far as they get, to the rules, the plan and the
// work orders. Nothing may crash; what is accepted must plan the same way twice.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "operator/run/manifest.h"
#include "operator/run/orders.h"
#include "operator/run/plan.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace run = sandboxrun::run;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto where : {run::Where::Cluster, run::Where::Local}) {
    const run::CheckedManifest checked = run::check_manifest(text, run::Policy{}, where);
    if (!checked.errors.empty()) continue;
    const run::Plan plan = run::make_plan(checked.run);
    if (run::plan_hash(plan) != run::plan_hash(run::make_plan(checked.run))) std::abort();
    run::mounts_for(plan);
    run::guard_arguments(plan);
    sandboxrun::protocol::encode(run::prepare_order(plan, run::Layout{}));
  }
  return 0;
}
