#pragma once

#include "operator/control/operator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "operator/control/metrics.h"
#include "operator/kube/clock.h"
#include "operator/pod/canonical.h"
#include "operator/pod/names.h"
#include "operator/pod/observe.h"
#include "tests/api/memory_api.h"
#include "tests/support/run/world.h"

/// The whole operator against an API server's storage: caches, queue, workers, reconciler. The
/// kubelet is the test itself.
namespace sandboxrun::control {

using test::json_node;
using test::number_node;
using test::put;
using test::text_at;
using test::text_node;

inline const std::string kRunFolder = "/apis/sandboxrun.dev/v1alpha1/namespaces/ns/sandboxruns";
inline const std::string kRunPath = kRunFolder + "/r";
inline const std::string kPodFolder = "/api/v1/namespaces/ns/pods";
inline const std::string kPolicyFolder = "/apis/networking.k8s.io/v1/namespaces/ns/networkpolicies";
inline const std::string kDenyAll = kPolicyFolder + "/sandboxrun-deny-all";
inline const std::string kEgress =
    R"(,"network":{"mode":"Egress","egress":[{"to":[{"ipBlock":{"cidr":"203.0.113.0/24"}}]}]})";
inline const std::string kImage = "registry.example/tool@sha256:" + std::string(64, 'a');

inline std::string manifest(const std::string& image, const std::string& more = "") {
  return R"({"apiVersion":"sandboxrun.dev/v1alpha1","kind":"SandboxRun","metadata":{"name":"r"},)"
         R"("spec":{"environment":{"image":")" +
         image + R"("},"command":["/bin/true"])" + more + "}}";
}

inline std::string time_now() {
  return format_time(time_of_day());
}

// One process: its operator, until it is destroyed.
class Process {
 public:
  Process(kube::Transport& api, const OperatorOptions& options, std::ostream& log, Timing timing)
      : log_(LogLevel::Info, LogFormat::Json, log),
        operator_(options,
                  {.transport = api,
                   .clock = clock_,
                   .metrics = metrics_,
                   .log = log_,
                   .health = health_},
                  timing),
        thread_([this](const std::stop_token& stop) { ended_ = operator_.run(stop); }) {}

  std::string metrics() {
    operator_.measure();
    return metrics_.expose();
  }
  bool is_ready() const { return health_.is_ready(); }

 private:
  Log log_;
  kube::SystemClock clock_;
  MetricsRegistry metrics_{operator_metrics()};
  Health health_;
  Operator operator_;
  Result<void> ended_;
  std::jthread thread_;
};

inline OperatorOptions operator_options() {
  OperatorOptions out;
  out.pods.sandbox_image = "registry.example/sandbox@sha256:" + std::string(64, 'b');
  out.instance = "test";
  return out;
}

/// One run "r" in namespace "ns", and the kubelet that its pod needs.
class OperatorTest : public testing::Test {
 protected:
  /// How the operator gets to `api`.
  virtual kube::Transport& transport() { return api; }

  void start() { process = std::make_unique<Process>(transport(), options, log, timing); }
  void stop() { process.reset(); }

  void create_run(const std::string& more = "") { api.create(kRunFolder, manifest(kImage, more)); }
  void create_run_named(const std::string& name, const std::string& more = "") {
    Node run = json_node(manifest(kImage, more));
    put(run, {"metadata", "name"}, text_node(name));
    std::string text;
    pod::append_sorted(text, run);
    api.create(kRunFolder, text);
  }

  std::string pod_path(int attempt = 1) const {
    const auto run = api.find(kRunPath);
    if (!run) return "";
    return kPodFolder + "/" + pod::pod_name("ns", "r", text_at(*run, {"metadata", "uid"}), attempt);
  }

  // Of condition Succeeded: "True/Completed".
  std::string verdict() const {
    const auto run = api.find(kRunPath);
    if (!run) return "";
    const Node* status = run->find("status");
    const Node* conditions = status == nullptr ? nullptr : status->find("conditions");
    if (conditions == nullptr) return "";
    for (const Node& each : conditions->items) {
      if (text_at(each, {"type"}) != "Succeeded") continue;
      return text_at(each, {"status"}) + "/" + text_at(each, {"reason"});
    }
    return "";
  }
  bool reaches(const std::string& wanted) {
    const bool reached = api.wait_for([&] { return verdict() == wanted; });
    EXPECT_EQ(verdict(), wanted);
    return reached;
  }

  bool is_ungated(const std::string& path) const {
    const auto pod = api.find(path);
    if (!pod) return false;
    const Node* spec = pod->find("spec");
    const Node* gates = spec->find("schedulingGates");
    return gates == nullptr || gates->items.empty();
  }
  bool pod_is_let_loose(int attempt = 1) {
    const bool loose = api.wait_for([&] { return is_ungated(pod_path(attempt)); });
    EXPECT_TRUE(loose);
    return loose;
  }

  // What the kubelet writes when the command starts, and when it ends.
  void run_pod(int attempt = 1) {
    api.change(pod_path(attempt), [](Node& pod) {
      put(pod, {"spec", "nodeName"}, text_node("node-1"));
      put(pod, {"status"},
          json_node(R"({"phase":"Running","conditions":[{"type":"PodScheduled","status":"True",)"
                    R"("lastTransitionTime":")" +
                    time_now() +
                    R"("}],"containerStatuses":[{"name":"run","restartCount":0,"state":)"
                    R"({"running":{"startedAt":")" +
                    time_now() + R"("}}}]})"));
    });
  }
  void end_pod(int code, int attempt = 1) {
    api.change(pod_path(attempt), [&](Node& pod) {
      run::testing::Record record{.token = pod::observe(pod)->facts.token};
      record.code = code;
      record.child_code = code;
      Node ended = json_node(R"({"reason":")" + std::string(code == 0 ? "Completed" : "Error") +
                             R"(","startedAt":")" + time_now() + R"(","finishedAt":")" +
                             time_now() + R"("})");
      put(ended, {"exitCode"}, number_node(code));
      put(ended, {"message"}, text_node(run::testing::write(record)));
      Node container = json_node(R"({"name":"run","restartCount":0})");
      put(container, {"state", "terminated"}, std::move(ended));
      Node list;
      list.kind = Node::Kind::List;
      list.items.push_back(std::move(container));
      put(pod, {"status", "containerStatuses"}, std::move(list));
      put(pod, {"status", "phase"}, text_node(code == 0 ? "Succeeded" : "Failed"));
    });
  }

  // Writes on runs and pods, in order: Events and policies are counted apart.
  std::vector<std::string> writes() const {
    std::vector<std::string> out;
    for (const std::string& each : api.writes()) {
      if (each.find("/pods") != std::string::npos ||
          each.find("/sandboxruns/") != std::string::npos) {
        out.push_back(each);
      }
    }
    return out;
  }
  std::size_t posts() const {
    const auto all = api.writes();
    return static_cast<std::size_t>(std::ranges::count(all, "POST " + kPodFolder));
  }

  // The run has one attempt, whose pod is the only one there is.
  void expect_one_start() const {
    const auto pods = api.list(kPodFolder);
    const auto attempts = api.find(kRunPath)->find("status")->find("attempts")->items;
    ASSERT_EQ(pods.size(), 1U);
    ASSERT_EQ(attempts.size(), 1U);
    EXPECT_EQ(text_at(attempts[0], {"podUID"}), text_at(pods[0], {"metadata", "uid"}));
  }

  bool has_metric(const std::string& line) { return process->metrics().contains(line + "\n"); }

  std::size_t calls_of_policies(const std::vector<std::string>& calls) const {
    return static_cast<std::size_t>(std::ranges::count_if(
        calls, [](const std::string& each) { return each.contains("/networkpolicies"); }));
  }

  test::MemoryApi api;
  OperatorOptions options = operator_options();
  std::ostringstream log;  // to be read when the process has stopped
  Timing timing{.drain = std::chrono::seconds(10), .flush = std::chrono::seconds(2)};
  std::unique_ptr<Process> process;
};

inline kube::Error error_of(kube::ErrorKind kind, int status, const std::string& message) {
  kube::Error error;
  error.kind = kind;
  error.status = status;
  error.message = message;
  return error;
}

inline bool is_post_of_pod(const kube::Request& request) {
  return request.method == kube::Method::Post && request.path == kPodFolder;
}

}  // namespace sandboxrun::control
