#include <unistd.h>

#include <utility>

#include "operator/base/document.h"
#include "operator/cli/cli.h"
#include "operator/cli/prepare_run.h"
#include "operator/cli/pretty_json.h"
#include "operator/cli/screen.h"
#include "operator/cli/text.h"

namespace sandboxrun::cli {

int render_command(RenderOptions options, const Surroundings& surroundings) {
  fill_in(options.machine, surroundings);
  const auto loaded = load_for_this_machine(options.machine);
  if (!loaded) {
    const Manifest& refused = loaded.error();
    write_all(STDERR_FILENO,
              describe_errors(refused) + counted(refused.errors.size(), "error") + "\n");
    return kExitInvalid;
  }
  auto config = launch::render_bundle(run::make_plan(*loaded), launch_options(options.machine));
  const Result<Node> document = config ? parse_json(*config) : std::unexpected(config.error());
  if (!document) {
    write_all(STDERR_FILENO, "sandboxrun: " + one_line(document.error().message) + "\n");
    return kExitInvalid;
  }
  return write_all(STDOUT_FILENO, pretty_json(*document)) ? kExitOk : kExitInvalid;
}

}  // namespace sandboxrun::cli
