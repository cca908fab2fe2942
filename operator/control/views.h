#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
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

/// Half of an object's text, and nothing of it is used: what parse_machine_json leaves out.
inline constexpr std::array<std::string_view, 2> kManagedFields = {"metadata", "managedFields"};

/// A run.
/// Caveats: of one from the cache that has ended only what its further life needs is there; its
/// status is then not whole, and must not be written.
struct RunView {
  run::SandboxRun run;                  ///< ended: metadata, managedBy and the editable fields
  run::Status status;                   ///< ended: condition Succeeded, attempts, generation
  std::vector<run::FieldError> errors;  ///< why it may not run
  bool ended = false;

  run::Wishes wishes() const;
};

/// What is kept of a run that has ended: an edit, a deletion or its age are all that can still
/// concern it. Clusters keep thousands of these.
struct EndedRun {
  struct Attempt {
    std::string pod_uid;
    std::optional<TimePoint> finish;
  };

  std::int64_t generation = 0;
  std::optional<TimePoint> created;
  std::optional<TimePoint> deleted;
  std::string managed_by;
  std::optional<std::int64_t> ttl_seconds_after_finished;
  bool suspend = false;
  bool cancel = false;
  std::int64_t observed_generation = 0;
  run::Condition succeeded;  ///< without its message
  std::vector<Attempt> attempts;
};

/// A run in the cache.
using CachedRun = std::variant<std::shared_ptr<const RunView>, EndedRun>;

CachedRun cached_run(RunView view);
/// Nothing if the run could not be read.
std::shared_ptr<const RunView> view_of(const kube::Cached<CachedRun>& run);

/// A pod in the cache; empty if it is over and its run has ended, so that nobody asks for it.
using CachedPod = std::shared_ptr<const pod::PodView>;

/// A NetworkPolicy of ours in the cache.
struct PolicyView {
  std::string rules;  ///< see policy_rules
};

/// A hash of a NetworkPolicy's spec: the same for what was sent and for what the API server made of
/// it, which leaves out empty lists.
std::string policy_rules(const Node& policy);

/// Reads a run, as the API server has it. Errors: InvalidInput, if it is no JSON or its status
/// cannot be read; what is wrong with the spec is no error, but in the view.
Result<RunView> read_whole_run(std::string_view json, const run::Policy& policy);

/// Whether what a pod holds has been used: it is over, and so is its run.
using IsSpent = std::function<bool(const kube::ObjectName& pod, const pod::PodView& view)>;

kube::Decoder<CachedRun> run_decoder(run::Policy policy);
kube::Decoder<CachedPod> pod_decoder(IsSpent is_spent);
kube::Decoder<PolicyView> policy_decoder();

}  // namespace sandboxrun::control
