#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "operator/base/document.h"
#include "tests/support/child_process.h"
#include "tests/support/cluster.h"
#include "tests/support/temp_dir.h"

namespace sandboxrun::test {

/// What an operator of a test needs to be told.
struct OperatorSettings {
  /// More flags; one that is among the usual ones takes its place.
  std::vector<std::string> flags;
  /// Further values of the chart, as `--set`: they decide its rights and admission policies.
  std::vector<std::string> set;
};

/// The operator that was built, as a process of this machine that holds nothing but the token of
/// the chart's service account. Killed with the object.
class OperatorProcess {
 public:
  /// Starts it and waits until it is ready. `kubeconfig` is used up: it may change later.
  OperatorProcess(std::string kubeconfig, std::string log_file, std::vector<std::string> flags);

  /// SIGKILL, and reaps it.
  void kill();
  /// SIGTERM; how long it took to end, or throws if it took more than 40 s.
  std::chrono::milliseconds stop();
  pid_t pid() const { return process_->pid(); }
  bool is_running() { return process_ != nullptr && process_->is_running(); }
  /// The body of its /metrics.
  std::string metrics() const;
  /// What it has logged so far.
  std::string log() const;

 private:
  std::string log_file_;
  int probe_port_;
  int metrics_port_;
  std::unique_ptr<ChildProcess> process_;
};

/// A namespace with Pod Security enforce=restricted, with the chart's rights and admission policies
/// for it, whose runs an operator process serves.
/// Errors are std::runtime_error with what was seen, the operator's log among it.
class ServedNamespace {
 public:
  explicit ServedNamespace(const std::string& name, OperatorSettings settings = {});
  ~ServedNamespace();
  ServedNamespace(const ServedNamespace&) = delete;
  ServedNamespace& operator=(const ServedNamespace&) = delete;

  const Cluster& cluster() const { return cluster_; }
  const std::string& name() const { return space_.name(); }
  /// The user name of the operator's account.
  std::string account() const;
  /// A new kubeconfig of that account, which lives as long as this object.
  std::string account_kubeconfig() const;

  /// The one that works, if there is one.
  OperatorProcess& op() { return *operator_; }
  /// Another one with the same rights; its log goes on where the last one's ended.
  std::unique_ptr<OperatorProcess> another(const std::vector<std::string>& flags = {}) const;
  void start_operator();
  /// SIGKILL.
  void kill_operator();

  /// Takes a verb on a resource of the chart's Role away from the operator, and gives it back.
  /// Either is in force when the call returns.
  void forbid(const std::string& resource, const std::string& verb);
  void permit_all();

  /// kubectl in this namespace, as the administrator. `output` throws unless it exits with 0.
  KubectlResult kubectl(std::vector<std::string> arguments, std::string_view input = {}) const;
  std::string output(std::vector<std::string> arguments, std::string_view input = {}) const;

  /// Creates a run. `spec` is YAML, each line indented by two blanks; `image` is
  /// spec.environment.image, by default the examples' base.
  void create(const std::string& name, const std::string& spec) const;
  /// Waits until the run's condition Reconciling is False; its status.
  Node wait_for_end(const std::string& name,
                    std::chrono::seconds patience = std::chrono::seconds(60)) const;
  /// Waits until the run's reason is `reason`; its status.
  Node wait_for_reason(const std::string& name, const std::string& reason,
                       std::chrono::seconds patience = std::chrono::seconds(60)) const;
  Node status(const std::string& name) const;
  /// The pods of the namespace.
  std::vector<Node> pods() const;
  /// The pod of the newest attempt of a run, or throws.
  Node pod_of(const std::string& run) const;
  /// What the container of the run's newest attempt printed.
  std::string log_of(const std::string& run, const std::string& container = "run") const;
  void make_secret(const std::string& name,
                   const std::vector<std::pair<std::string, std::string>>& data) const;

 private:
  std::vector<std::string> usual_flags() const;
  std::string new_file(const std::string& kind) const;
  void wait_until_allowed(const std::string& resource, const std::string& verb, bool allowed) const;
  Node wait_for(const std::string& name, const std::string& what, std::chrono::seconds patience,
                bool (*met)(const Node& status, const std::string& what)) const;

  Cluster cluster_;
  TestNamespace space_;
  OperatorSettings settings_;
  std::string chart_;
  std::vector<std::pair<std::string, std::string>> forbidden_;  ///< resources and verbs
  TempDir work_;
  std::unique_ptr<OperatorProcess> operator_;
};

/// The scalar at a path of keys like "run.exitCode" as it was written; "" if it is not there. A
/// number after a key is an index into a list.
std::string at(const Node& node, const std::string& path);
/// "True NonZeroExit" of a condition of a run's status; "" if there is none.
std::string condition(const Node& status, const std::string& type);
std::string condition_message(const Node& status, const std::string& type = "Succeeded");

}  // namespace sandboxrun::test
