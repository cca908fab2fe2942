#include "operator/run/reasons.h"

#include <algorithm>
#include <array>

namespace sandboxrun::run {
namespace {

constexpr auto kStage = ReasonUse::Stage;
constexpr auto kEnd = ReasonUse::End;
constexpr auto kBoth = ReasonUse::Both;

constexpr std::array kReasons = {
    ReasonInfo{Reason::Pending, "Pending", kStage, false,
               "The run was accepted and has no sandbox on a node yet.",
               "Wait; the message says what it waits for."},
    ReasonInfo{Reason::Suspended, "Suspended", kStage, false,
               "spec.suspend is true, so no attempt is created.", "Set spec.suspend to false."},
    ReasonInfo{Reason::PodRefused, "PodRefused", kBoth, false,
               "The cluster refuses the pod: a quota, a LimitRange, a webhook, Pod Security or an "
               "ending namespace.",
               "Read the message and make room or change the rule; it is tried again until the "
               "start deadline."},
    ReasonInfo{Reason::Unschedulable, "Unschedulable", kStage, false,
               "No node has room for the pod or fits its selector.",
               "Add nodes, lower spec.resources or change spec.nodeSelector."},
    ReasonInfo{Reason::SchedulingGated, "SchedulingGated", kStage, false,
               "The pod waits for a scheduling gate to be removed.",
               "If the gate is not ours, ask whoever set it."},
    ReasonInfo{Reason::Preparing, "Preparing", kStage, false,
               "The environment and the assets are fetched, verified and placed.",
               "Wait; the logs of prepare show how far it is."},
    ReasonInfo{Reason::Running, "Running", kStage, false, "The sandbox runs.",
               "Wait, or set spec.cancel."},
    ReasonInfo{Reason::Collecting, "Collecting", kStage, false,
               "The command has ended and its results are collected.",
               "Wait; results.timeoutSeconds bounds it."},
    ReasonInfo{Reason::Retrying, "Retrying", kStage, false,
               "An attempt failed and backoffLimit allows another one.",
               "Wait for the delay, or set spec.cancel."},
    ReasonInfo{Reason::NodeLost, "NodeLost", kBoth, false,
               "The node of the run does not answer; it is not known whether the command still "
               "runs.",
               "Repair the node; if it stays away the run ends and is not started again."},
    ReasonInfo{Reason::Completed, "Completed", kEnd, false,
               "The command ended with exit code 0 by itself and its results are stored, or none "
               "were to be stored.",
               "Nothing."},
    ReasonInfo{Reason::InvalidSpec, "InvalidSpec", kEnd, false, "The manifest breaks a rule.",
               "Correct the fields that the message names and create the run again."},
    ReasonInfo{Reason::PolicyDenied, "PolicyDenied", kEnd, false,
               "The manifest asks for a value that the administrator does not allow.",
               "Ask for an allowed value, or ask the administrator to list it."},
    ReasonInfo{Reason::PodMutated, "PodMutated", kEnd, false,
               "The admitted pod differs from what was rendered, so it was not started.",
               "Exempt run pods from the webhook that changes the named fields."},
    ReasonInfo{Reason::PodTampered, "PodTampered", kEnd, false,
               "The pod was changed, or its container restarted, after it was admitted.",
               "Find out who may patch pods in this namespace; trust nothing of this run."},
    ReasonInfo{Reason::NameConflict, "NameConflict", kEnd, false,
               "Something that is not this run's has the name of its pod.",
               "Delete that object, or create the run under another name."},
    ReasonInfo{Reason::ReferenceMissing, "ReferenceMissing", kEnd, false,
               "A Secret, ConfigMap, key or class that the run names does not exist.",
               "Create it and create the run again."},
    ReasonInfo{Reason::ImagePullFailed, "ImagePullFailed", kEnd, false,
               "The image could not be pulled.",
               "Check the reference, the registry and spec.imagePullSecrets."},
    ReasonInfo{Reason::SignatureInvalid, "SignatureInvalid", kEnd, false,
               "The node refuses the image because its signature is not valid.",
               "Use an image that is signed as the node's policy demands."},
    ReasonInfo{Reason::RuntimeClassUnavailable, "RuntimeClassUnavailable", kEnd, false,
               "The runtime class does not exist, or the node's handler lacks what it needs.",
               "Install the runtime on the nodes, or name another class."},
    ReasonInfo{Reason::NetworkIsolationUnavailable, "NetworkIsolationUnavailable", kEnd, false,
               "network.mode is Egress, and network policies are not enforced here.",
               "Use a network plugin that enforces policies, or network.mode None."},
    ReasonInfo{Reason::NodeRejected, "NodeRejected", kEnd, true,
               "The node refused the pod before anything of it started.",
               "Look at the node's free resources, or set spec.backoffLimit."},
    ReasonInfo{Reason::SandboxStartFailed, "SandboxStartFailed", kEnd, false,
               "The runtime could not make the sandbox or start its first process.",
               "Read the runtime's message and the node's logs."},
    ReasonInfo{Reason::GuardFailed, "GuardFailed", kEnd, false,
               "The guard refused the sandbox, or ended without a record that can be believed.",
               "Read the message; the node may lack a feature that the guard demands."},
    ReasonInfo{Reason::EnvironmentFetchFailed, "EnvironmentFetchFailed", kEnd, true,
               "The environment archive could not be fetched.",
               "Check its source, the credentials and the allowed addresses."},
    ReasonInfo{Reason::EnvironmentDigestMismatch, "EnvironmentDigestMismatch", kEnd, false,
               "The environment archive is not the one that the manifest names; nothing of it was "
               "unpacked.",
               "Find out why it changed before you change the digest."},
    ReasonInfo{Reason::EnvironmentUnpackFailed, "EnvironmentUnpackFailed", kEnd, false,
               "The environment archive is damaged, unsafe or too large.",
               "Read which entry broke which rule and rebuild the archive."},
    ReasonInfo{Reason::AssetFetchFailed, "AssetFetchFailed", kEnd, true,
               "An asset could not be fetched.",
               "Check its source, the credentials and the allowed addresses."},
    ReasonInfo{Reason::AssetDigestMismatch, "AssetDigestMismatch", kEnd, false,
               "An asset is not the one that the manifest names; nothing was run.",
               "Find out why it changed before you change the digest."},
    ReasonInfo{Reason::AssetPlaceFailed, "AssetPlaceFailed", kEnd, false,
               "An asset could not be unpacked or put in its place.",
               "Read the message; check the asset's target, format and size."},
    ReasonInfo{Reason::AgentReportInvalid, "AgentReportInvalid", kEnd, false,
               "An agent left no report that can be read, or could not read its work order.",
               "Use the operator and the sandbox image of one release; else report it."},
    ReasonInfo{Reason::SetupFailed, "SetupFailed", kEnd, false,
               "A setup step failed or ran out of time; the command was not started.",
               "Read the logs of the run and correct that step."},
    ReasonInfo{Reason::StartFailed, "StartFailed", kEnd, false,
               "The command was not found or cannot be executed.",
               "Check spec.command against what the environment holds."},
    ReasonInfo{Reason::NonZeroExit, "NonZeroExit", kEnd, true,
               "The command ended by itself with an exit code other than 0.",
               "Read the logs of the run."},
    ReasonInfo{Reason::Signaled, "Signaled", kEnd, true,
               "The command was ended by a signal that nobody of us sent.",
               "Read the logs of the run; look for a crash."},
    ReasonInfo{Reason::OOMKilled, "OOMKilled", kEnd, true,
               "The kernel killed a process because the memory limit was reached.",
               "Raise resources.limits.memory or use less; memory volumes count too."},
    ReasonInfo{Reason::Evicted, "Evicted", kEnd, true,
               "The node evicted the pod because it ran short, or was drained.",
               "Set requests that match what is used, or set spec.backoffLimit."},
    ReasonInfo{Reason::EphemeralStorageExceeded, "EphemeralStorageExceeded", kEnd, false,
               "The run wrote more to disk than it may.",
               "Raise scratch.sizeLimit or resources.limits.ephemeral-storage, or write less."},
    ReasonInfo{Reason::Preempted, "Preempted", kEnd, true,
               "The scheduler took the pod away in favour of one with a higher priority.",
               "Set spec.backoffLimit, or ask for another priority class."},
    ReasonInfo{Reason::Disrupted, "Disrupted", kEnd, true,
               "The pod was deleted or ended from outside: by somebody, a taint, a node that shut "
               "down, a lost sandbox.",
               "Read the message, or set spec.backoffLimit."},
    ReasonInfo{Reason::DeadlineExceeded, "DeadlineExceeded", kEnd, false,
               "The command ran longer than spec.activeDeadlineSeconds.",
               "Raise the deadline or make the run shorter."},
    ReasonInfo{Reason::StartDeadlineExceeded, "StartDeadlineExceeded", kEnd, false,
               "The command was not started within spec.startDeadlineSeconds.",
               "The message says what it waited for last."},
    ReasonInfo{Reason::ResultsRejected, "ResultsRejected", kEnd, false,
               "The results hold an entry that is not safe to open, or are too large; nothing was "
               "stored.",
               "Read which entry broke which rule and change what the run leaves."},
    ReasonInfo{Reason::ResultsUploadFailed, "ResultsUploadFailed", kEnd, false,
               "The command ended with exit code 0, but its results could not be uploaded.",
               "Check the upload target and its credentials."},
    ReasonInfo{Reason::CollectorFailed, "CollectorFailed", kEnd, false,
               "The command ended with exit code 0, but the collector failed or was stopped "
               "before it had stored the results.",
               "Read the logs of collect; raise results.timeoutSeconds if it ran out of time."},
    ReasonInfo{Reason::Cancelled, "Cancelled", kEnd, false,
               "The run was cancelled before its command had ended.", "Nothing."},
    ReasonInfo{Reason::PodLost, "PodLost", kEnd, false,
               "The attempt is gone and nobody saw how it ended; it is not started again.",
               "Find out who deleted the pod; create a new run if its work may be done twice."},
};

consteval bool in_enum_order() {
  for (std::size_t i = 0; i < kReasons.size(); ++i) {
    if (kReasons[i].reason != static_cast<Reason>(i)) return false;
  }
  return kReasons.size() == static_cast<std::size_t>(Reason::PodLost) + 1;
}
static_assert(in_enum_order());

}  // namespace

std::span<const ReasonInfo> all_reasons() {
  return kReasons;
}

const ReasonInfo& info(Reason reason) {
  return kReasons[static_cast<std::size_t>(reason)];
}

std::string_view to_string(Reason reason) {
  return info(reason).name;
}

std::optional<Reason> parse_reason(std::string_view name) {
  const auto row = std::ranges::find(kReasons, name, &ReasonInfo::name);
  if (row == kReasons.end()) return std::nullopt;
  return row->reason;
}

bool is_terminal(Reason reason) {
  return info(reason).use != ReasonUse::Stage;
}

bool is_retryable(Reason reason) {
  return info(reason).retryable;
}

}  // namespace sandboxrun::run
