#pragma once

#include <vector>

#include "operator/base/error.h"
#include "operator/launch/bundle.h"
#include "operator/launch/launch.h"
#include "operator/run/plan.h"

/// Secrets and ConfigMaps of a local run: folders that the caller named.
namespace sandboxrun::launch {

/// Checks that every key that prepare and collect will read is there.
/// Errors: NotFound, naming object and key, never a host path or a value.
Result<void> check_references(const run::Plan& plan, const Options& options);

/// The plan's variables with what they refer to. Errors: NotFound, LimitExceeded.
Result<std::vector<EnvValue>> resolve_environment(const run::Plan& plan, const Options& options);

/// The same for showing to a person: references stay names.
std::vector<EnvValue> describe_environment(const run::Plan& plan);

}  // namespace sandboxrun::launch
