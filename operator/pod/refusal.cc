#include "operator/pod/refusal.h"

#include <algorithm>
#include <array>

namespace sandboxrun::pod {
namespace {

using run::RefusalKind;
using run::TroubleKind;

struct Wording {
  RefusalKind kind;
  std::string_view first;   ///< must be in the message
  std::string_view second;  ///< and so must this, if it isn't empty
};

/// In the order in which they are tried. A webhook may say anything, so that its own wordings come
/// first.
constexpr std::array kWordings = {
    Wording{RefusalKind::Webhook, "admission webhook \"", "denied the request"},
    Wording{RefusalKind::Webhook, "failed calling webhook", ""},
    Wording{RefusalKind::Webhook, "ValidatingAdmissionPolicy", "denied request"},
    Wording{RefusalKind::RuntimeClassMissing, "RuntimeClass \"", "not found"},
    Wording{RefusalKind::ReferenceMissing, "no PriorityClass with name", ""},
    Wording{RefusalKind::PodSecurity, "violates PodSecurity", ""},
    Wording{RefusalKind::Quota, "exceeded quota:", ""},
    Wording{RefusalKind::Quota, "failed quota:", ""},
    Wording{RefusalKind::Quota, "status unknown for quota:", ""},
    Wording{RefusalKind::Quota, "insufficient quota to match", ""},
    Wording{RefusalKind::Quota, "resourcequotas", "cannot be fulfilled"},
    Wording{RefusalKind::LimitRange, " usage per ", ""},
    Wording{RefusalKind::LimitRange, "max limit to request ratio per ", ""},
    Wording{RefusalKind::NamespaceEnding, "because it is being terminated", ""},
    Wording{RefusalKind::NamespaceEnding, "namespaces \"", "not found"},
};

RefusalKind classify(const Answer& answer) {
  if (std::ranges::find(answer.causes, "NamespaceTerminating") != answer.causes.end()) {
    return RefusalKind::NamespaceEnding;
  }
  for (const Wording& wording : kWordings) {
    const std::size_t found = answer.message.find(wording.first);
    if (found == std::string_view::npos) continue;
    if (answer.message.find(wording.second) != std::string_view::npos) return wording.kind;
  }
  switch (answer.status) {
    case 400:
    case 413:
    case 422:
      return RefusalKind::Invalid;
    case 403:
    case 404:
      return RefusalKind::Other;
    default:
      return RefusalKind::Unavailable;
  }
}

}  // namespace

run::Refusal refusal(const Answer& answer, TimePoint at) {
  std::string message(answer.message);
  if (message.empty()) {
    message = answer.status == 0 ? "the API server did not answer"
                                 : "the API server answered " + std::to_string(answer.status);
  }
  return {.kind = classify(answer), .message = std::move(message), .at = at};
}

std::optional<run::Trouble> trouble(std::string_view event_reason, std::string_view event_message) {
  const auto says = [&](std::string_view words) { return event_message.contains(words); };
  const auto found = [&](TroubleKind kind) {
    return run::Trouble{kind, std::string(event_reason) + ": " + std::string(event_message)};
  };
  if (event_reason == "FailedMount") {
    const bool object = says("secret \"") || says("configmap \"");
    if ((object && says("not found")) || says("references non-existent")) {
      return found(TroubleKind::ReferenceMissing);
    }
    return found(TroubleKind::Sandbox);
  }
  if (event_reason == "FailedCreatePodSandBox") {
    const bool handler = says("no runtime for \"") || says("RuntimeHandler \"") ||
                         says("runtime handler") || says("user namespace");
    return found(handler ? TroubleKind::RuntimeClass : TroubleKind::Sandbox);
  }
  if (event_reason == "NetworkNotReady" || event_reason == "FailedAttachVolume" ||
      event_reason == "FailedPrepareDynamicResources") {
    return found(TroubleKind::Sandbox);
  }
  return std::nullopt;
}

}  // namespace sandboxrun::pod
