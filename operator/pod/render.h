#pragma once

#include <cstdint>
#include <string>

#include "operator/base/document.h"
#include "operator/base/error.h"
#include "operator/pod/options.h"
#include "operator/run/plan.h"

/// From a plan to its pod: docs/reference/pod.md. Pure: the same arguments give the same bytes.
namespace sandboxrun::pod {

/// A work order travels as an annotation; an API server takes 256 KiB of annotations in all.
inline constexpr std::size_t kMaxOrderBytes = 128 * 1024;
inline constexpr std::size_t kMaxOrdersBytes = 240 * 1024;

/// A pod as it is sent, and the same read, to be compared with what comes back.
struct RenderedPod {
  std::string json;
  Node node;  ///< without marks
};

/// The pod of one attempt for POST, born with our scheduling gate.
/// Guarantees: nothing of the plan reaches a field that hardens the pod; every field that an API
/// server would default is written out.
/// Errors: LimitExceeded, InvalidSpec's sentence, if the plan's work orders are too large to
/// travel. Assumes: the plan has a name, namespace and UID; `options.sandbox_image` is by digest.
Result<RenderedPod> render_pod(const run::Plan& plan, const PodOptions& options,
                               const Attempt& attempt);

/// Between SIGTERM and SIGKILL of the whole pod: the guard's grace and the time to store results.
std::int64_t termination_grace_seconds(const run::Plan& plan);

/// spec.activeDeadlineSeconds from the start: behind every deadline that the guard and the operator
/// keep themselves.
std::int64_t backstop_seconds(const run::Plan& plan);

}  // namespace sandboxrun::pod
