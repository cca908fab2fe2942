#include "operator/run/validate.h"

#include "operator/run/check.h"
#include "operator/run/limits.h"

namespace sandboxrun::run {
namespace {

std::size_t size_of(const std::vector<std::string>& strings) {
  std::size_t total = 0;
  for (const std::string& text : strings) total += text.size();
  return total;
}

/// Bytes of the strings that may be long; all others together stay far below the limit.
std::size_t text_size(const Spec& spec) {
  std::size_t total = size_of(spec.command) + size_of(spec.args);
  for (const EnvVar& env : spec.env) total += env.name.size() + env.value.value_or("").size();
  for (const SetupStep& step : spec.setup) total += size_of(step.command);
  for (const Asset& asset : spec.assets) {
    total += asset.target.size() + asset.source.inline_text.value_or("").size();
    if (asset.source.https) total += asset.source.https->url.size();
    if (asset.source.s3) total += asset.source.s3->key.size();
  }
  return total;
}

}  // namespace

std::vector<FieldError> validate(const SandboxRun& run, const Policy& policy, Where where) {
  Check check(policy, where);
  if (run.metadata.name.empty()) {
    check.invalid("metadata.name", "is required and missing");
  } else {
    check.object_name("metadata.name", run.metadata.name, kMaxRunName);
  }
  if (!run.metadata.namespace_name.empty()) {
    check.label("metadata.namespace", run.metadata.namespace_name);
  }
  check_environment(check, run.spec.environment);
  check_process(check, run.spec);
  check_assets(check, run.spec);
  check_results(check, run.spec);
  check_network(check, run.spec);
  check_resources(check, run.spec);
  check_scheduling(check, run.spec);
  if (const std::size_t size = text_size(run.spec); size > kMaxSpecBytes) {
    check.invalid("spec", "holds " + std::to_string(size) + " bytes of text; at most " +
                              std::to_string(kMaxSpecBytes) +
                              " are allowed: move large data into assets");
  }
  return check.take();
}

}  // namespace sandboxrun::run
