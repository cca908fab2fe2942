#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "operator/base/time.h"
#include "operator/run/reasons.h"

/// What was seen of a run, as facts with times. It holds no Kubernetes or OCI types: the operator
/// fills it from a pod, the launcher from a runtime, and `decide()` cannot tell them apart.
/// Texts may come from anybody; `decide()` bounds, cleans and redacts whatever it passes on.
namespace sandboxrun::run {

/// A step was announced, but has not started.
struct Waiting {
  std::string reason;  ///< the runtime's word: "ImagePullBackOff", "CreateContainerConfigError", ..
  std::string message;
};

struct Started {
  std::optional<TimePoint> at;
};

/// A step is over.
struct Ended {
  int exit_code = 0;
  int signal = 0;              ///< if the runtime tells one
  std::string runtime_reason;  ///< "Completed", "Error", "OOMKilled", "StartError",
                               ///< "ContainerStatusUnknown", ... or empty
  std::optional<TimePoint> start;
  std::optional<TimePoint> finish;
  std::string termination_message;  ///< raw bytes: a report, a record, or anything at all
};

/// Nothing is known of a step (std::monostate), or the state it was last seen in.
using StepState = std::variant<std::monostate, Waiting, Started, Ended>;

struct StepFacts {
  StepState state;
  int restarts = 0;              ///< as counted by the runtime
  std::optional<Ended> earlier;  ///< the container that ran before this one
  bool oom = false;              ///< the kernel killed something in its memory group
  bool image_differs = false;    ///< its image string is not the one that was rendered
  std::string image_id;          ///< what the runtime says it runs; recorded, never judged
  std::optional<std::int64_t> milliseconds;  ///< from start to end, where it was measured finely

  const Ended* ended() const { return std::get_if<Ended>(&state); }
  const Started* started() const { return std::get_if<Started>(&state); }
  const Waiting* waiting() const { return std::get_if<Waiting>(&state); }
};

/// Whether the attempt's object (a pod, a bundle) exists.
enum class Presence {
  Unseen,   ///< not in our view, and nobody has looked: proves nothing
  Absent,   ///< a live look found nothing
  Present,  ///< it exists and is ours
  Foreign,  ///< something that is not ours has its name
};

enum class Gate {
  None,
  Ours,     ///< born gated, waits for `Ungate`
  Foreign,  ///< somebody else's gate holds it back
};

/// Why the attempt's object was not accepted, told apart by the observer.
enum class RefusalKind {
  Quota,
  LimitRange,
  Webhook,
  PodSecurity,
  NamespaceEnding,
  Unavailable,          ///< the server failed or could not be reached
  Other,                ///< forbidden for a reason that we don't know
  RuntimeClassMissing,  ///< final
  ReferenceMissing,     ///< final: a PriorityClass or the like does not exist
  Invalid,              ///< final: a field was refused
};

struct Refusal {
  RefusalKind kind = RefusalKind::Other;
  std::string message;
  std::optional<TimePoint> at;  ///< of the latest try
};

/// A cause that keeps an accepted attempt from starting, known from events alone.
enum class TroubleKind {
  ReferenceMissing,  ///< a Secret or ConfigMap volume cannot be mounted
  RuntimeClass,      ///< the node lacks the handler, or the handler lacks a feature
  Sandbox,           ///< the sandbox could not be made for another cause
};

struct Trouble {
  TroubleKind kind = TroubleKind::Sandbox;
  std::string message;
};

/// Who, other than us, asked a started attempt to stop, or took it away.
enum class InterruptionKind {
  Deleted,          ///< somebody deleted the object
  Evicted,          ///< the node ran short, or a drain
  StorageExceeded,  ///< evicted for what it wrote to disk itself
  Preempted,
  Disrupted,  ///< taint manager, node shutdown, sandbox destroyed, ...
  NodeGone,   ///< ended in the name of a node that is not there, where it may still run
  Deadline,   ///< the object's own active deadline
};

struct Interruption {
  InterruptionKind kind = InterruptionKind::Disrupted;
  std::optional<TimePoint> at;  ///< when it was *asked* (a deletion's own time, not the time at
                                ///< which its grace ends). Unknown counts as before any end.
  std::string message;
};

/// A stop that we asked for, as found on the object.
struct StopRequest {
  Reason reason = Reason::Cancelled;
  std::optional<TimePoint> at;  ///< unknown counts as before any end
};

/// What is known of one attempt. Of one that is Absent, the observer may still tell what it saw
/// last (with its uid). The launcher sets presence, name, uid, the steps, `collects`, `over` and
/// the token, and leaves the rest as it is.
struct AttemptFacts {
  int number = 1;  ///< from 1; see `attempt_to_observe`
  Presence presence = Presence::Unseen;
  std::string name;  ///< pod or bundle
  std::string uid;
  std::string node;  ///< empty: not on a node
  std::optional<TimePoint> created;
  std::optional<TimePoint> scheduled;
  Gate gate = Gate::None;
  std::string foreign_gates;  ///< the names of gates that are not ours
  bool unschedulable = false;
  std::string scheduling_message;
  std::optional<Refusal> refusal;      ///< of the latest try to create it
  std::vector<std::string> mutations;  ///< fields in which it differs from its render
  std::optional<Trouble> trouble;

  bool over = false;         ///< the runtime will change nothing any more; nothing runs
  std::string over_reason;   ///< the object's own word for it ("OutOfcpu", ...); never decides
  std::string over_message;  ///< a success
  std::vector<Interruption> interruptions;
  std::optional<StopRequest> stop;
  std::optional<TimePoint> node_lost;  ///< since when the node has not answered

  StepFacts prepare;
  StepFacts run;
  StepFacts collect;
  bool collects = false;  ///< it has a collect step, whatever the plan says
  std::string token;      ///< the one-time token that the guard was given
};

enum class Isolation { Unknown, Enforced, NotEnforced, Waived };

/// What the run's own object asks for.
struct Wishes {
  std::int64_t generation = 1;
  TimePoint created;
  bool suspend = false;
  bool cancel = false;
  bool deleted = false;
  std::optional<std::int64_t> ttl_seconds_after_finished;
};

struct Observation {
  Wishes wishes;
  AttemptFacts attempt;
  bool policies_applied = true;  ///< the network policies that the plan needs exist
  Isolation isolation = Isolation::Unknown;
  std::string isolation_message;  ///< how it is known, or why not; a sentence of ours, or empty
};

}  // namespace sandboxrun::run
