#include "operator/cli/prepare_run.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "operator/cli/references.h"
#include "operator/run/manifest.h"

namespace sandboxrun::cli {

std::expected<run::SandboxRun, Manifest> load_for_this_machine(const Machine& machine) {
  const run::Policy policy{.allow_http = machine.allow_http};
  Manifest manifest = load_manifest(machine.file, policy, run::Where::Local);
  auto missing = missing_references(manifest.run, {machine.secrets, machine.config_maps});
  if (const auto document = run::parse_manifest(manifest.text)) locate(missing, *document);
  std::ranges::move(missing, std::back_inserter(manifest.errors));
  if (!manifest.errors.empty()) return std::unexpected(std::move(manifest));
  return std::move(manifest.run);
}

launch::Options launch_options(const Machine& machine) {
  launch::Options options;
  options.runtime = machine.runtime;
  options.guard = machine.guard;
  options.cache_dir = machine.cache_dir;
  options.state_dir = machine.state_dir;
  options.base_dir = machine.base_dir;
  options.image_layouts = machine.images;
  options.secrets = machine.secrets;
  options.config_maps = machine.config_maps;
  options.transfer.allow = machine.allow_addresses;
  options.transfer.allow_http = machine.allow_http;
  return options;
}

}  // namespace sandboxrun::cli
