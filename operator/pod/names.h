#pragma once

#include <string>
#include <string_view>

/// Names, labels and annotations of what we make: docs/reference/pod.md lists them.
namespace sandboxrun::pod {

inline constexpr std::string_view kDomain = "sandboxrun.dev/";

inline constexpr std::string_view kRunUidLabel = "sandboxrun.dev/run-uid";
inline constexpr std::string_view kRunNameLabel = "sandboxrun.dev/run";
inline constexpr std::string_view kAttemptLabel = "sandboxrun.dev/attempt";
/// Which NetworkPolicy holds for the pod: "none", "transfer" or "egress-<hash>".
inline constexpr std::string_view kNetworkLabel = "sandboxrun.dev/network";
inline constexpr std::string_view kManagedByLabel = "app.kubernetes.io/managed-by";
inline constexpr std::string_view kManager = "sandboxrun";

inline constexpr std::string_view kPlanVersionAnnotation = "sandboxrun.dev/plan-version";
inline constexpr std::string_view kPlanHashAnnotation = "sandboxrun.dev/plan-hash";
inline constexpr std::string_view kPodHashAnnotation = "sandboxrun.dev/pod-hash";
inline constexpr std::string_view kDeadlineAnnotation = "sandboxrun.dev/active-deadline-seconds";
inline constexpr std::string_view kStartDeadlineAnnotation =
    "sandboxrun.dev/start-deadline-seconds";
inline constexpr std::string_view kPrepareOrderAnnotation = "sandboxrun.dev/prepare-order";
inline constexpr std::string_view kCollectOrderAnnotation = "sandboxrun.dev/collect-order";
inline constexpr std::string_view kStopAnnotation = "sandboxrun.dev/stop";
inline constexpr std::string_view kStopAtAnnotation = "sandboxrun.dev/stop-at";

inline constexpr std::string_view kGate = "sandboxrun.dev/admission";

inline constexpr std::string_view kPrepare = "prepare";
inline constexpr std::string_view kRun = "run";
inline constexpr std::string_view kCollect = "collect";

inline constexpr std::string_view kTokenVariable = "SANDBOXRUN_TOKEN";

inline constexpr std::size_t kMaxPodName = 63;

/// The name of an attempt's pod: the run's name, shortened if need be, a hash of namespace, name,
/// UID and attempt, and the attempt's number. The same arguments give the same name; two runs,
/// also two of one name after each other, never share one. At most 63 characters, a DNS subdomain.
std::string pod_name(std::string_view namespace_name, std::string_view run_name,
                     std::string_view run_uid, int attempt);

/// Lower-case hex of the first `digits` / 2 bytes of SHA-256 over `text`; at most 64 digits.
std::string short_hash(std::string_view text, std::size_t digits);

}  // namespace sandboxrun::pod
