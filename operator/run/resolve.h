#pragma once

#include <utility>

#include "operator/run/plan.h"

namespace sandboxrun::run {

/// Requests and limits with every default applied: an absent limit is the default, or the request
/// if that is more; an absent request is the limit (for cpu, at most the default request).
/// Assumes: every amount that is given can be read.
std::pair<PlanResourceList, PlanResourceList> resolve_resources(const Resources& resources);

}  // namespace sandboxrun::run
