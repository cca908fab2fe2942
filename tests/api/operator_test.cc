#include "tests/api/operator_fixture.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sandbox-image/agent/probe.h"

// The whole operator against an API server's storage.
namespace sandboxrun::control {
namespace {

TEST_F(OperatorTest, AMinimalRunSucceedsWithFiveWrites) {
  start();
  create_run();
  ASSERT_TRUE(pod_is_let_loose());
  run_pod();
  ASSERT_TRUE(reaches("Unknown/Running"));
  end_pod(0);
  ASSERT_TRUE(reaches("True/Completed"));
  EXPECT_EQ(writes(), (std::vector<std::string>{
                          "POST " + kPodFolder,
                          "PATCH " + kRunPath + "/status",
                          "PATCH " + pod_path(),
                          "PATCH " + kRunPath + "/status",
                          "PATCH " + kRunPath + "/status",
                      }));
}

TEST_F(OperatorTest, S6_ANonZeroExitIsAFailureWithItsCode) {
  start();
  create_run();
  ASSERT_TRUE(pod_is_let_loose());
  run_pod();
  end_pod(3);
  ASSERT_TRUE(reaches("False/NonZeroExit"));
  EXPECT_EQ(text_at(*api.find(kRunPath), {"status", "run", "exitCode"}), "3");
}

TEST_F(OperatorTest, S5_ThePodIsRecordedBeforeItIsLetLoose) {
  start();
  create_run();
  ASSERT_TRUE(pod_is_let_loose());
  const auto all = writes();
  const auto status = std::ranges::find(all, "PATCH " + kRunPath + "/status");
  const auto ungate = std::ranges::find(all, "PATCH " + pod_path());
  EXPECT_LT(status - all.begin(), ungate - all.begin());
  const auto run = api.find(kRunPath);
  const auto& attempt = run->find("status")->find("attempts")->items.at(0);
  EXPECT_EQ(text_at(attempt, {"podUID"}), text_at(*api.find(pod_path()), {"metadata", "uid"}));
}

TEST_F(OperatorTest, S1_ATagIsRefusedAndNoPodIsMade) {
  start();
  api.create(kRunFolder, manifest("python:3.12"));
  ASSERT_TRUE(reaches("False/InvalidSpec"));
  EXPECT_EQ(posts(), 0U);
}

TEST_F(OperatorTest, ARuntimeClassThatNobodyAllowedIsDenied) {
  start();
  create_run(R"(,"runtimeClassName":"gvisor")");
  ASSERT_TRUE(reaches("False/PolicyDenied"));
  EXPECT_EQ(posts(), 0U);
}

TEST_F(OperatorTest, S2_APodThatAWebhookChangedIsDeletedAndNeverStarts) {
  api.mutate([](Node& object) {
    const Node* spec = object.find("spec");
    if (spec == nullptr || spec->find("containers") == nullptr) return;
    put(object, {"spec", "hostNetwork"}, json_node("true"));
  });
  start();
  create_run();
  ASSERT_TRUE(reaches("False/PodMutated"));
  EXPECT_FALSE(api.find(pod_path()));
  const auto all = writes();
  EXPECT_EQ(std::ranges::count(all, "PATCH " + pod_path()), 0);
}

TEST_F(OperatorTest, T13_AForeignPodWithOurNameIsANameConflict) {
  create_run();
  const std::string name = pod_path().substr(kPodFolder.size() + 1);
  api.create(kPodFolder, R"({"metadata":{"name":")" + name +
                             R"("},"spec":{"containers":[{"name":"run","image":"evil"}]}})");
  start();
  ASSERT_TRUE(reaches("False/NameConflict"));
  EXPECT_TRUE(api.find(pod_path()));
}

TEST_F(OperatorTest, S5_APodThatVanishesIsLostAndNotMadeAgain) {
  start();
  create_run();
  ASSERT_TRUE(pod_is_let_loose());
  run_pod();
  ASSERT_TRUE(reaches("Unknown/Running"));
  api.remove(pod_path());
  ASSERT_TRUE(reaches("False/PodLost"));
  EXPECT_EQ(posts(), 1U);
}

TEST_F(OperatorTest, S5_ALostReplyToThePostMakesNoSecondPod) {
  bool lost = false;
  api.fail_after([&](const kube::Request& request) -> std::optional<kube::Error> {
    if (lost || request.method != kube::Method::Post || request.path != kPodFolder) {
      return std::nullopt;
    }
    lost = true;
    kube::Error error;
    error.kind = kube::ErrorKind::Unreachable;
    error.message = "the connection broke";
    return error;
  });
  start();
  create_run();
  ASSERT_TRUE(pod_is_let_loose());
  run_pod();
  end_pod(0);
  ASSERT_TRUE(reaches("True/Completed"));
  EXPECT_EQ(api.list(kPodFolder).size(), 1U);
}

TEST_F(OperatorTest, S5_AnotherOperatorGoesOnWhereTheFirstOneStopped) {
  start();
  create_run();
  ASSERT_TRUE(pod_is_let_loose());
  stop();
  run_pod();
  end_pod(0);
  start();
  ASSERT_TRUE(reaches("True/Completed"));
  EXPECT_EQ(posts(), 1U);
}

TEST_F(OperatorTest, S5_ACrashBeforeTheAttemptIsRecordedStartsNothingTwice) {
  // The status cannot be written, so that the first operator never gets past the POST.
  api.fail_before([&](const kube::Request& request) -> std::optional<kube::Error> {
    if (request.path != kRunPath + "/status") return std::nullopt;
    kube::Error error;
    error.kind = kube::ErrorKind::ServerError;
    error.status = 500;
    error.message = "etcd is away";
    return error;
  });
  start();
  create_run();
  ASSERT_TRUE(api.wait_for([&] { return api.find(pod_path()).has_value(); }));
  const std::string uid = text_at(*api.find(pod_path()), {"metadata", "uid"});
  stop();
  EXPECT_FALSE(is_ungated(pod_path()));
  api.fail_before({});
  start();
  ASSERT_TRUE(pod_is_let_loose());
  EXPECT_EQ(text_at(*api.find(pod_path()), {"metadata", "uid"}), uid);
}

TEST_F(OperatorTest, AQuotaHoldsTheRunBackWithItsReason) {
  api.fail_before([](const kube::Request& request) -> std::optional<kube::Error> {
    if (request.method != kube::Method::Post || request.path != kPodFolder) return std::nullopt;
    kube::Error error;
    error.kind = kube::ErrorKind::Forbidden;
    error.status = 403;
    error.reason = "Forbidden";
    error.status_message = "pods \"r\" is forbidden: exceeded quota: few, requested: pods=1";
    error.message = error.status_message;
    return error;
  });
  start();
  create_run();
  ASSERT_TRUE(reaches("Unknown/PodRefused"));
  EXPECT_EQ(posts(), 1U);
  EXPECT_NE(process->metrics().find("sandboxrun_pod_refusals_total{kind=\"Quota\"} 1\n"),
            std::string::npos);
}

TEST_F(OperatorTest, ACancelledPodOnANodeIsAskedToStop) {
  start();
  create_run();
  ASSERT_TRUE(pod_is_let_loose());
  run_pod();
  ASSERT_TRUE(reaches("Unknown/Running"));
  api.change(kRunPath, [](Node& run) {
    put(run, {"spec", "cancel"}, json_node("true"));
    put(run, {"metadata", "generation"}, number_node(2));
  });
  ASSERT_TRUE(api.wait_for([&] {
    return text_at(*api.find(pod_path()), {"metadata", "annotations", pod::kStopAnnotation}) ==
           "Cancelled";
  }));
  EXPECT_EQ(text_at(*api.find(pod_path()), {"spec", "activeDeadlineSeconds"}), "1");
  end_pod(143);
  ASSERT_TRUE(reaches("False/Cancelled"));
}

// Of a pod whose run has ended nothing is kept, so that it has to be looked for.
TEST_F(OperatorTest, AnEndThatSomebodyTookBackIsFoundAgainFromThePod) {
  start();
  create_run();
  ASSERT_TRUE(pod_is_let_loose());
  run_pod();
  end_pod(3);
  ASSERT_TRUE(reaches("False/NonZeroExit"));
  const auto pod = api.find(pod_path());
  const auto reads = [&] { return std::ranges::count(api.reads(), "GET " + pod_path()); };
  const auto before = reads();
  api.change(kRunPath, [&](Node& run) {
    put(run, {"status"},
        json_node(R"({"attempts":[{"podName":")" + text_at(*pod, {"metadata", "name"}) +
                  R"(","podUID":")" + text_at(*pod, {"metadata", "uid"}) + R"("}]})"));
  });
  ASSERT_TRUE(reaches("False/NonZeroExit"));
  EXPECT_EQ(text_at(*api.find(kRunPath), {"status", "run", "exitCode"}), "3");
  EXPECT_EQ(posts(), 1U);
  EXPECT_EQ(reads(), before + 1);
}

TEST_F(OperatorTest, AnEndedRunCanStillBeEditedAndDeletedByAge) {
  start();
  create_run();
  ASSERT_TRUE(pod_is_let_loose());
  run_pod();
  end_pod(0);
  ASSERT_TRUE(reaches("True/Completed"));
  stop();
  start();  // which knows of it only what a list tells
  api.change(kRunPath, [](Node& run) {
    put(run, {"spec", "ttlSecondsAfterFinished"}, number_node(1));
    put(run, {"metadata", "generation"}, number_node(2));
  });
  EXPECT_TRUE(api.wait_for([&] { return !api.find(kRunPath); }));
  EXPECT_EQ(posts(), 1U);
}

TEST_F(OperatorTest, ASuspendedRunHasNoPod) {
  start();
  create_run(R"(,"suspend":true)");
  ASSERT_TRUE(reaches("Unknown/Suspended"));
  EXPECT_EQ(posts(), 0U);
  api.change(kRunPath, [](Node& run) {
    put(run, {"spec", "suspend"}, json_node("false"));
    put(run, {"metadata", "generation"}, number_node(2));
  });
  ASSERT_TRUE(pod_is_let_loose());
}

TEST_F(OperatorTest, ARunIsDeletedWhenItsTimeToLiveIsOver) {
  start();
  create_run(R"(,"ttlSecondsAfterFinished":0)");
  ASSERT_TRUE(pod_is_let_loose());
  run_pod();
  end_pod(0);
  EXPECT_TRUE(api.wait_for([&] { return !api.find(kRunPath); }));
}

TEST_F(OperatorTest, AnEditOfAFinishedRunIsObservedAndLosesNothing) {
  start();
  create_run();
  ASSERT_TRUE(pod_is_let_loose());
  run_pod();
  end_pod(0);
  ASSERT_TRUE(reaches("True/Completed"));
  api.change(kRunPath, [](Node& run) {
    put(run, {"spec", "cancel"}, json_node("true"));
    put(run, {"metadata", "generation"}, number_node(2));
  });
  ASSERT_TRUE(api.wait_for(
      [&] { return text_at(*api.find(kRunPath), {"status", "observedGeneration"}) == "2"; }));
  EXPECT_EQ(verdict(), "True/Completed");
  EXPECT_EQ(text_at(*api.find(kRunPath), {"status", "run", "exitCode"}), "0");
}

TEST_F(OperatorTest, PoliciesExistBeforeThePod) {
  start();
  create_run();
  ASSERT_TRUE(pod_is_let_loose());
  const auto all = api.writes();
  const auto policy = std::ranges::find_if(
      all, [](const std::string& each) { return each.contains("/networkpolicies/"); });
  const auto pod = std::ranges::find(all, "POST " + kPodFolder);
  ASSERT_NE(policy, all.end());
  EXPECT_LT(policy - all.begin(), pod - all.begin());
}

TEST_F(OperatorTest, AnExceptionInAReconcileIsCountedAndTheRunIsTriedAgain) {
  bool thrown = false;
  api.fail_before([&](const kube::Request& request) -> std::optional<kube::Error> {
    if (!is_post_of_pod(request) || std::exchange(thrown, true)) return std::nullopt;
    throw std::runtime_error("a bug");
  });
  start();
  create_run();
  ASSERT_TRUE(pod_is_let_loose());
  EXPECT_TRUE(has_metric("controller_runtime_reconcile_panics_total{controller=\"sandboxrun\"} 1"));
  EXPECT_TRUE(has_metric("controller_runtime_reconcile_errors_total{controller=\"sandboxrun\"} 1"));
  stop();
  EXPECT_TRUE(log.str().contains("\"error\":\"exception: a bug\"")) << log.str();
}

TEST_F(OperatorTest, AReconcileThatGetsNoAnswerIsCutOff) {
  timing.reconcile = std::chrono::milliseconds(300);
  std::chrono::milliseconds longest{0};
  bool silent = true;
  api.fail_before([&](const kube::Request& request) -> std::optional<kube::Error> {
    if (!is_post_of_pod(request) || !std::exchange(silent, false)) return std::nullopt;
    longest = request.deadline;
    std::this_thread::sleep_for(request.deadline);
    return error_of(kube::ErrorKind::Timeout, 0, "no answer");
  });
  start();
  create_run();
  ASSERT_TRUE(pod_is_let_loose());
  EXPECT_LE(longest, timing.reconcile);
  EXPECT_TRUE(
      has_metric("controller_runtime_reconcile_timeouts_total{controller=\"sandboxrun\"} 1"));
}

TEST_F(OperatorTest, EveryLineAboutARunSaysWhichReconcileItIsOf) {
  start();
  create_run();
  ASSERT_TRUE(pod_is_let_loose());
  run_pod();
  ASSERT_TRUE(reaches("Unknown/Running"));
  end_pod(0);
  ASSERT_TRUE(reaches("True/Completed"));
  stop();
  std::istringstream lines(log.str());
  int about_the_run = 0;
  for (std::string line; std::getline(lines, line);) {
    const Node node = json_node(line);
    if (!text_at(node, {"msg"}).starts_with("a run ")) continue;
    ++about_the_run;
    EXPECT_EQ(text_at(node, {"controller"}), "sandboxrun") << line;
    EXPECT_EQ(text_at(node, {"namespace"}), "ns") << line;
    EXPECT_EQ(text_at(node, {"name"}), "r") << line;
    EXPECT_EQ(text_at(node, {"reconcileID"}).size(), 32U) << line;
  }
  EXPECT_GE(about_the_run, 2);
}

TEST_F(OperatorTest, PoliciesThatExistCostNoCalls) {
  start();
  create_run();
  ASSERT_TRUE(pod_is_let_loose());
  create_run_named("s");
  ASSERT_TRUE(api.wait_for([&] { return posts() == 2; }));
  EXPECT_EQ(calls_of_policies(api.writes()), 1U);
  stop();
  start();
  create_run_named("t");
  ASSERT_TRUE(api.wait_for([&] { return posts() == 3; }));
  EXPECT_EQ(calls_of_policies(api.writes()), 1U);
  EXPECT_EQ(calls_of_policies(api.reads()), 2U);  // the list that each process begins with
}

TEST_F(OperatorTest, S3_APolicyThatIsDeletedUnderARunIsAppliedAgain) {
  start();
  create_run();
  ASSERT_TRUE(pod_is_let_loose());
  run_pod();
  ASSERT_TRUE(reaches("Unknown/Running"));
  api.remove(kDenyAll);
  EXPECT_TRUE(api.wait_for([&] { return api.find(kDenyAll).has_value(); }));
}

TEST_F(OperatorTest, S3_APolicyThatIsOpenedUnderARunIsClosedAgain) {
  start();
  create_run();
  ASSERT_TRUE(pod_is_let_loose());
  run_pod();
  ASSERT_TRUE(reaches("Unknown/Running"));
  const std::string rules = policy_rules(*api.find(kDenyAll));
  std::string opened;
  api.change(kDenyAll, [&](Node& policy) {
    put(policy, {"spec", "egress"}, json_node("[{}]"));
    opened = policy_rules(policy);
  });
  ASSERT_NE(opened, rules);
  EXPECT_TRUE(api.wait_for([&] { return policy_rules(*api.find(kDenyAll)) == rules; }));
}

TEST_F(OperatorTest, S3_APolicyThatWasOpenedBetweenRunsIsClosedBeforeThePodIsMade) {
  start();
  create_run();
  ASSERT_TRUE(pod_is_let_loose());
  run_pod();
  end_pod(0);
  ASSERT_TRUE(reaches("True/Completed"));
  stop();
  const std::string rules = policy_rules(*api.find(kDenyAll));
  api.change(kDenyAll, [](Node& policy) { put(policy, {"spec", "egress"}, json_node("[{}]")); });
  std::string at_the_post;
  api.fail_before([&](const kube::Request& request) -> std::optional<kube::Error> {
    if (request.path.starts_with(kDenyAll)) at_the_post = "closed";
    if (is_post_of_pod(request) && at_the_post.empty()) at_the_post = "open";
    return std::nullopt;
  });
  start();
  create_run_named("s");
  ASSERT_TRUE(api.wait_for([&] { return posts() == 2; }));
  EXPECT_EQ(at_the_post, "closed");
  EXPECT_EQ(policy_rules(*api.find(kDenyAll)), rules);
}

TEST_F(OperatorTest, S3_NoPodIsMadeUnderAPolicyThatAWebhookOpened) {
  api.mutate([](Node& object) {
    if (text_at(object, {"kind"}) != "NetworkPolicy") return;
    put(object, {"spec", "egress"}, json_node("[{}]"));
  });
  start();
  create_run();
  ASSERT_TRUE(api.wait_for([&] { return calls_of_policies(api.writes()) == 3; }));
  EXPECT_EQ(posts(), 0U);
}

TEST_F(OperatorTest, EgressPoliciesAreSweptWhenNoRunNeedsThem) {
  options.isolation = run::Isolation::Waived;
  timing.sweep = std::chrono::milliseconds(50);
  start();
  create_run(kEgress);
  ASSERT_TRUE(pod_is_let_loose());
  const std::string rules =
      text_at(*api.find(pod_path()), {"metadata", "labels", pod::kNetworkLabel});
  ASSERT_TRUE(rules.starts_with("egress-")) << rules;
  const std::string policy = kPolicyFolder + "/sandboxrun-" + rules;
  std::this_thread::sleep_for(4 * timing.sweep);
  EXPECT_TRUE(api.find(policy));
  run_pod();
  end_pod(0);
  ASSERT_TRUE(reaches("True/Completed"));
  EXPECT_TRUE(api.wait_for([&] { return !api.find(policy); }));
  EXPECT_TRUE(api.find(kDenyAll));
}

// The kubelet of the probe's pods: runs the agent's probe as their arguments say, or, if policies
// hold, against an address where nobody listens for the pod that may reach nothing.
class ProbeKubelet {
 public:
  ProbeKubelet(test::MemoryApi& api, bool enforces) : api_(api), enforces_(enforces) {}

 private:
  void run(const std::stop_token& stop) {
    std::set<std::string> done;
    while (!stop.stop_requested()) {
      for (const Node& pod : api_.list("/api/v1/namespaces/system/pods")) {
        const std::string name = text_at(pod, {"metadata", "name"});
        if (done.insert(name).second) serve(pod, name);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }

  void serve(const Node& pod, const std::string& name) {
    const bool denied = text_at(pod, {"metadata", "labels", kProbeLabel}) == kDenied;
    const Node& container = pod.find("spec")->find("containers")->items.at(0);
    const std::string address = container.find("args")->items.at(2).text;
    auto order = agent::parse_probe_address(denied && enforces_ ? "127.0.0.1:1" : address);
    order->patience = std::chrono::milliseconds(50);
    order->pause = std::chrono::milliseconds(10);
    const std::string report = agent::encode(agent::probe(*order, {}));
    api_.change("/api/v1/namespaces/system/pods/" + name, [&](Node& object) {
      put(object, {"status", "phase"}, text_node("Succeeded"));
      Node state = json_node(R"({"name":"probe","state":{"terminated":{"exitCode":0}}})");
      put(state, {"state", "terminated", "message"}, text_node(report));
      Node list;
      list.kind = Node::Kind::List;
      list.items.push_back(std::move(state));
      put(object, {"status", "containerStatuses"}, std::move(list));
    });
  }

  test::MemoryApi& api_;
  const bool enforces_;
  std::jthread thread_{[this](const std::stop_token& stop) { run(stop); }};
};

class IsolationTest : public OperatorTest {
 protected:
  void SetUp() override {
    options.probe = IsolationProbeOptions{.namespace_name = "system",
                                          .pod_name = "operator-1",
                                          .pod_uid = "uid-0",
                                          .pod_ip = "127.0.0.1",
                                          .port = 0,
                                          .sandbox_image = options.pods.sandbox_image,
                                          .poll = std::chrono::milliseconds(10)};
    timing.probe_backoff = std::chrono::milliseconds(50);
  }

  std::string isolation() const {
    const auto run = api.find(kRunPath);
    const Node* status = run ? run->find("status") : nullptr;
    if (status == nullptr) return "";
    for (const Node& each : status->find("conditions")->items) {
      if (text_at(each, {"type"}) == "NetworkIsolated") {
        return text_at(each, {"status"}) + "/" + text_at(each, {"reason"});
      }
    }
    return "";
  }
  std::size_t probe_pods() const { return api.list("/api/v1/namespaces/system/pods").size(); }
};

TEST_F(IsolationTest, T37_WherePoliciesHoldARunWithEgressStartsAndSaysSo) {
  const ProbeKubelet kubelet(api, true);
  start();
  create_run(kEgress);
  ASSERT_TRUE(pod_is_let_loose());
  EXPECT_TRUE(api.wait_for([&] { return isolation() == "True/Enforced"; }));
  EXPECT_TRUE(has_metric("sandboxrun_network_isolation{state=\"Enforced\"} 1"));
  EXPECT_TRUE(api.wait_for([&] { return probe_pods() == 0; }));
}

TEST_F(IsolationTest, T37_WherePoliciesDoNotHoldARunWithEgressEndsBeforeItHasAPod) {
  const ProbeKubelet kubelet(api, false);
  start();
  create_run(kEgress);
  ASSERT_TRUE(reaches("False/NetworkIsolationUnavailable"));
  EXPECT_EQ(posts(), 0U);
  EXPECT_EQ(isolation(), "False/NotEnforced");
  EXPECT_TRUE(has_metric("sandboxrun_network_isolation{state=\"NotEnforced\"} 1"));
}

TEST_F(IsolationTest, T37_WithoutEgressARunStartsWhateverTheProbeFindsAndSaysSo) {
  const ProbeKubelet kubelet(api, false);
  start();
  create_run();
  ASSERT_TRUE(pod_is_let_loose());
  run_pod();
  EXPECT_TRUE(api.wait_for([&] { return isolation() == "False/NotEnforced"; }));
}

TEST_F(IsolationTest, AProbeThatCannotBeMadeIsTriedAgainAndItsCauseIsShown) {
  api.fail_before([](const kube::Request& request) -> std::optional<kube::Error> {
    if (request.path != "/api/v1/namespaces/system/pods") return std::nullopt;
    if (request.method != kube::Method::Post) return std::nullopt;
    return error_of(kube::ErrorKind::Forbidden, 403, "no pods here");
  });
  const ProbeKubelet kubelet(api, true);
  start();
  create_run(kEgress);
  ASSERT_TRUE(api.wait_for([&] { return isolation() == "Unknown/ProbeInconclusive"; }));
  EXPECT_EQ(verdict(), "Unknown/Pending");
  EXPECT_EQ(posts(), 0U);
  api.fail_before({});
  EXPECT_TRUE(pod_is_let_loose());
}

TEST_F(OperatorTest, ItIsReadyWhenItsCachesAreFilled) {
  start();
  EXPECT_TRUE(api.wait_for([&] { return process->is_ready(); }));
}

}  // namespace
}  // namespace sandboxrun::control
