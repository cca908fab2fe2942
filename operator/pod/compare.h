#pragma once

#include <string>
#include <vector>

#include "operator/base/document.h"

/// Whether a pod is what was rendered: promise S2, threats T13, T17, T18.
namespace sandboxrun::pod {

/// When the pod is looked at.
enum class Stage {
  Admitted,  ///< the answer to our POST, before the gate is removed
  Live,      ///< any time later
};

/// Every field in which `found` differs from `rendered`, in the order of the fields, each as
/// "spec.containers[run].image was changed", "... was added" or "... was removed". No values: they
/// may be secrets.
/// What an API server writes by itself is no difference, and neither are the changes that our own
/// steps, the scheduler and the kubelet make later: the list is in docs/reference/pod.md, and
/// everything that is not on it counts.
std::vector<std::string> differences(const Node& rendered, const Node& found, Stage stage);

/// "sha256:<64 hex>" over what may never change in a pod of ours from its admission to its end:
/// its name, our labels and annotations, its owner, its containers and volumes with all their
/// fields. A rendered pod carries it as the annotation kPodHashAnnotation, so that a later
/// operator, which renders otherwise, can still tell whether the pod is what it was admitted as.
std::string pod_hash(const Node& pod);

/// The pod has the hash that its own annotation names.
bool is_intact(const Node& pod);

}  // namespace sandboxrun::pod
