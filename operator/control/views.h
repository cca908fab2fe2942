#pragma once

#include <string_view>
#include <vector>

#include "operator/base/error.h"
#include "operator/kube/projection.h"
#include "operator/pod/observe.h"
#include "operator/run/field_error.h"
#include "operator/run/observation.h"
#include "operator/run/spec.h"
#include "operator/run/status.h"
#include "operator/run/validate.h"

/// What the operator keeps of each object that it watches.
namespace sandboxrun::control {

/// A run in the cache.
/// Guarantees: of a run that has ended only what its further life needs is kept: a few hundred
/// bytes. Its status is then not whole, and must not be written.
struct RunView {
  run::SandboxRun run;                  ///< ended: metadata, managedBy and the editable fields
  run::Status status;                   ///< ended: condition Succeeded, attempts, generation
  std::vector<run::FieldError> errors;  ///< why it may not run
  bool ended = false;

  run::Wishes wishes() const;
};

/// A NetworkPolicy of ours in the cache.
struct PolicyView {
  std::string rules;  ///< see policy_rules
};

/// A hash of a NetworkPolicy's spec: the same for what was sent and for what the API server made of
/// it, which leaves out empty lists.
std::string policy_rules(const Node& policy);

/// Reads a run, as the API server has it. Errors: InvalidInput, if it is no JSON or its status
/// cannot be read; what is wrong with the spec is no error, but in the view.
Result<RunView> read_run(std::string_view json, const run::Policy& policy);
/// The same without leaving anything out.
Result<RunView> read_whole_run(std::string_view json, const run::Policy& policy);

kube::Decoder<RunView> run_decoder(run::Policy policy);
kube::Decoder<pod::PodView> pod_decoder();
kube::Decoder<PolicyView> policy_decoder();

}  // namespace sandboxrun::control
