#pragma once

#include <string>
#include <vector>

#include "operator/base/document.h"
#include "operator/base/error.h"
#include "operator/run/observation.h"

namespace sandboxrun::pod {

/// What the operator keeps of a pod: who it says it belongs to, and the facts.
struct PodView {
  /// Presence is Present; `mutations` names the pod as a whole if it is not intact. What events
  /// alone tell (`trouble`), `refusal` and the attempt's `number` of others are the caller's.
  run::AttemptFacts facts;
  std::string namespace_name;
  std::string resource_version;
  std::string run_name;  ///< of the owner that is a SandboxRun and the pod's controller
  std::string run_uid;   ///< anybody who may create pods can write both
  std::string plan_hash;
  int plan_version = 0;  ///< 0: not one of ours
  std::vector<std::string> other_gates;
  bool terminating = false;  ///< somebody asked for its deletion
};

/// Reads a pod, from a list, a watch or an answer.
/// Guarantees: nothing that a program in the pod can write (termination messages) moves any other
/// fact; what is missing or of another type is taken for not known, and never for a success.
/// Errors: InvalidInput, if it has no name and UID.
Result<PodView> observe(const Node& pod);

/// Puts the result of `differences()` in the place of what the pod's own hash told.
void note_differences(PodView& view, const std::vector<std::string>& differences);

}  // namespace sandboxrun::pod
