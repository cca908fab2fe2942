#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "operator/base/time.h"
#include "operator/run/reasons.h"

/// The changes that we make to pods: bodies of requests, each for one pod only. All name its UID,
/// so that a pod of the same name which came later is refused and not changed.
namespace sandboxrun::pod {

/// application/merge-patch+json: takes our gate away and leaves those of others.
/// `resource_version` is that of the pod that was compared with its render: if anybody changed it
/// since, the server refuses (409) and it is to be compared again.
std::string ungate_patch(std::string_view uid, std::string_view resource_version,
                         const std::vector<std::string>& other_gates);

/// application/merge-patch+json for a pod on a node: the kubelet ends the run, then the collector,
/// and the object keeps both messages. On a pod that no kubelet has seen it does nothing: delete
/// that one. Time is written in whole seconds, rounded down.
std::string stop_patch(std::string_view uid, run::Reason reason, TimePoint at);

/// DeleteOptions. `resource_version`, if not empty, makes the deletion conditional on the pod being
/// as it was seen: without a node.
std::string delete_options(std::string_view uid, std::string_view resource_version);

}  // namespace sandboxrun::pod
