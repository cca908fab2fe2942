#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "operator/control/cluster.h"
#include "operator/kube/clock.h"
#include "operator/kube/transport.h"
#include "operator/run/observation.h"

/// Whether the cluster enforces network policies, found out by trying: docs/reference/operator.md.
namespace sandboxrun::control {

/// What is known, and why.
struct Isolation {
  run::Isolation state = run::Isolation::Unknown;
  std::string message;  ///< a sentence for people; of Unknown the cause

  friend bool operator==(const Isolation&, const Isolation&) = default;
};

std::string_view to_string(run::Isolation state);

/// The latest answer. Thread safe.
class IsolationState {
 public:
  explicit IsolationState(run::Isolation state) : isolation_{state, ""} {}

  Isolation get() const;
  /// Takes a new answer, but keeps a definite one where the new one is Unknown. True: what get()
  /// gives has changed.
  bool take(Isolation isolation);

 private:
  mutable std::mutex mutex_;
  Isolation isolation_;
};

/// The label of the probe's pods. The chart's policies let the pods with kAllowed reach the
/// operator, and those with kDenied nothing.
inline constexpr std::string_view kProbeLabel = "sandboxrun.dev/probe";
inline constexpr std::string_view kAllowed = "allowed";
inline constexpr std::string_view kDenied = "denied";

struct IsolationProbeOptions {
  std::string namespace_name;  ///< the operator's own, like all of these
  std::string pod_name;
  std::string pod_uid;
  std::string pod_ip;
  std::uint16_t port = 8082;
  std::string sandbox_image;
  std::int64_t user_id = 64000;
  std::chrono::milliseconds poll{1000};
  std::chrono::milliseconds patience{180000};  ///< for both pods to be started and to end
};

/// A pod that asks `address` ("10.0.0.7:8082") again and again and reports what came.
std::string render_probe_pod(const IsolationProbeOptions& options, std::string_view role,
                             std::string_view token, std::string_view address);

/// What a probe's pod reported.
struct ProbeAnswer {
  bool answered = false;  ///< the last try got our token
  int answers = 0;
  std::string last;
};
/// Pure. Enforced: who may connect did, who may not did not. NotEnforced: who may not did.
Isolation judge(const ProbeAnswer& allowed, const ProbeAnswer& denied);

/// Two pods in the operator's own namespace try to reach a server of the operator's own.
/// Guarantees: at most one probe at a time leaves pods behind, and the next one deletes them.
class IsolationProbe {
 public:
  IsolationProbe(IsolationProbeOptions options, kube::Transport& transport, kube::Clock& clock,
                 std::function<std::string()> make_token)
      : options_(std::move(options)),
        transport_(transport),
        clock_(clock),
        make_token_(std::move(make_token)) {}

  /// Blocks for about a quarter of a minute, at most the patience and some calls.
  Isolation ask(const std::stop_token& stop);

 private:
  using Answer = std::variant<std::monostate, ProbeAnswer, std::string>;  // none yet; or a cause

  kube::Result<void> delete_all(Cluster& cluster);
  Isolation compare(Cluster& cluster, std::string_view token, std::string_view address,
                    const std::stop_token& stop);
  Answer read(const Node& pod, std::string_view token) const;

  const IsolationProbeOptions options_;
  kube::Transport& transport_;
  kube::Clock& clock_;
  const std::function<std::string()> make_token_;
};

}  // namespace sandboxrun::control
