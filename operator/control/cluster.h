#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "operator/base/document.h"
#include "operator/control/views.h"
#include "operator/kube/clock.h"
#include "operator/kube/transport.h"
#include "operator/pod/network_policy.h"
#include "operator/run/decide.h"

namespace sandboxrun::control {

/// A pod as the API server answered, whole.
struct SeenPod {
  Node node;
  pod::PodView view;
};

/// The calls that a reconcile makes. Each is one request; none is repeated here.
/// Guarantees: every write carries what makes it safe to repeat or to come late: a name that stands
/// for one attempt, a uid, a resourceVersion, or server-side apply.
class Cluster {
 public:
  /// No call goes on after `deadline`; one that would begin later is a Timeout.
  Cluster(kube::Transport& transport, const kube::Clock& clock, kube::Instant deadline,
          std::stop_token stop)
      : transport_(transport), clock_(clock), deadline_(deadline), stop_(std::move(stop)) {}

  kube::Result<SeenPod> create_pod(const std::string& namespace_name, std::string pod_json);
  /// Nothing: there is none.
  kube::Result<std::optional<SeenPod>> get_pod(const kube::ObjectName& name);
  kube::Result<std::vector<SeenPod>> list_pods(const std::string& namespace_name,
                                               const std::string& label);
  /// Gives the pod's new resourceVersion.
  kube::Result<std::string> patch_pod(const kube::ObjectName& name, std::string patch);
  /// A pod that is gone already is a success.
  kube::Result<void> delete_pod(const kube::ObjectName& name, const std::string& uid,
                                const std::string& resource_version);
  struct AppliedPolicy {
    std::string rules;  ///< as in PolicyView
    std::string resource_version;
  };
  kube::Result<AppliedPolicy> apply_policy(const std::string& namespace_name,
                                           const pod::NetworkPolicy& policy);
  /// A policy that is gone already is a success. Conflict: it has changed since.
  kube::Result<void> delete_policy(const kube::ObjectMeta& policy);

  /// Gives the run's new resourceVersion. Conflict: it was changed since `resource_version`.
  kube::Result<std::string> write_status(const run::Metadata& run,
                                         const std::string& resource_version,
                                         const run::Status& status);
  /// The run as it is now, nothing left out; nothing: there is none.
  struct LiveRun {
    RunView view;
    std::string resource_version;
  };
  kube::Result<std::optional<LiveRun>> get_run(const kube::ObjectName& name,
                                               const run::Policy& policy);
  /// Conflict: it was changed since `resource_version`, maybe its time to live.
  kube::Result<void> delete_run(const run::Metadata& run, const std::string& resource_version);

  /// What the events about a pod tell that its status does not.
  kube::Result<std::optional<run::Trouble>> find_trouble(const kube::ObjectName& pod,
                                                         const std::string& uid);

 private:
  kube::Result<kube::Response> send(kube::Request request);
  kube::Result<Node> call(kube::Request request);
  /// Of a write: the object's new resourceVersion, and nothing else of the answer.
  kube::Result<std::string> call_write(kube::Request request);
  kube::Result<void> call_delete(kube::Request request);

  kube::Transport& transport_;
  const kube::Clock& clock_;
  const kube::Instant deadline_;
  std::stop_token stop_;
};

/// The field manager of all that we apply.
inline constexpr std::string_view kFieldManager = "sandboxrun-operator";

}  // namespace sandboxrun::control
