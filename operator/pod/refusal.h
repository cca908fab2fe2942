#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "operator/base/time.h"
#include "operator/run/observation.h"

/// What the cluster's words mean: answers to a POST of a pod, and events about one.
namespace sandboxrun::pod {

/// An answer to a POST that is not 2xx.
struct Answer {
  int status = 0;                   ///< HTTP; 0: there was none
  std::string_view reason;          ///< metav1.Status.reason
  std::string_view message;         ///< metav1.Status.message
  std::vector<std::string> causes;  ///< metav1.Status.details.causes[].reason
};

/// Why the pod was refused. Quotas, LimitRanges, Pod Security, webhooks and missing classes all
/// answer 403 and differ in the text alone.
/// Assumes: it was not "AlreadyExists", which is for the caller to look into.
run::Refusal refusal(const Answer& answer, TimePoint at);

/// What an Event about a pod tells that its status does not, or nothing.
std::optional<run::Trouble> trouble(std::string_view event_reason, std::string_view event_message);

}  // namespace sandboxrun::pod
