// An operator that dies, doubles, or loses its API server: no run starts twice, no end is lost.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "tests/support/audit_log.h"
#include "tests/support/https_server.h"
#include "tests/support/served_namespace.h"

namespace sandboxrun::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using ::testing::HasSubstr;

/// How often a pod of that namespace was created.
int created_pods(const std::string& name_space) {
  int count = 0;
  for (const AuditedRequest& each : audited_requests(Cluster().folder(), name_space)) {
    const bool here = each.name_space == name_space && each.resource == "pods";
    if (here && each.verb == "create" && each.code == 201) ++count;
  }
  return count;
}

class Recovery : public ::testing::Test {
 protected:
  Recovery() : space_("recovery") {}

  /// One attempt, one pod ever, started once; and what it printed.
  void expect_started_once(const std::string& run) {
    const Node status = space_.status(run);
    EXPECT_EQ(at(status, "attempts.1.podName"), "") << "a second attempt";
    const Node pod = space_.pod_of(run);
    EXPECT_EQ(at(pod, "metadata.uid"), at(status, "attempts.0.podUID"));
    EXPECT_EQ(at(pod, "status.containerStatuses.0.restartCount"), "0");
    EXPECT_EQ(created_pods(space_.name()), 1);
    EXPECT_EQ(space_.log_of(run), "started\n");
  }

  void expect_completed_once(const std::string& run) {
    const Node status = space_.wait_for_end(run);
    EXPECT_EQ(condition(status, "Succeeded"), "True Completed") << condition_message(status);
    expect_started_once(run);
  }

  /// Waits until `met` is true.
  template <typename Met>
  void wait_until(Met met, const char* what, seconds patience = seconds(40)) {
    const auto until = steady_clock::now() + patience;
    while (!met()) {
      ASSERT_LT(steady_clock::now(), until) << what << "\n" << space_.op().log();
      std::this_thread::sleep_for(milliseconds(50));
    }
  }
  bool has_pod() { return !space_.pods().empty(); }
  bool is_gated() { return has_pod() && !at(space_.pods()[0], "spec.schedulingGates.0").empty(); }

  ServedNamespace space_;
};

const std::string kShort = "  command: [sh, -c, 'echo started; sleep 2']\n";

TEST_F(Recovery, S5_KilledBeforeThePodIsCreated) {
  space_.forbid("pods", "create");
  space_.create("r", kShort);
  space_.wait_for_reason("r", "PodRefused");
  space_.kill_operator();
  space_.permit_all();
  space_.start_operator();
  expect_completed_once("r");
}

TEST_F(Recovery, S5_KilledAfterThePodIsCreatedAndBeforeItIsRecorded) {
  space_.forbid("sandboxruns/status", "patch");
  space_.create("r", kShort);
  wait_until([&] { return has_pod(); }, "no pod");
  space_.kill_operator();
  EXPECT_EQ(at(space_.status("r"), "attempts.0.podUID"), "");
  EXPECT_EQ(at(space_.pods()[0], "spec.schedulingGates.0.name"), "sandboxrun.dev/admission");
  space_.permit_all();
  space_.start_operator();
  expect_completed_once("r");
}

TEST_F(Recovery, S5_KilledAfterThePodIsRecordedAndBeforeItsGateIsRemoved) {
  space_.forbid("pods", "patch");
  space_.create("r", kShort);
  wait_until([&] { return !at(space_.status("r"), "attempts.0.podUID").empty(); }, "no attempt");
  space_.kill_operator();
  EXPECT_EQ(at(space_.pods()[0], "spec.schedulingGates.0.name"), "sandboxrun.dev/admission");
  space_.permit_all();
  space_.start_operator();
  expect_completed_once("r");
}

TEST_F(Recovery, S5_KilledWhileItPreparesRunsAndCollects) {
  const CertificateAuthority authority;
  const HttpsServer server(authority,
                           R"({"/slow": [{"body": "0123456789", "drip": [1, 0.3]}],
                               "/put": [{"delay": 3}]})",
                           HttpsServer::Certificate::Good, Cluster::kNodeAddress);
  space_.output({"create", "configmap", "ca", "--from-file=ca.crt=" + authority.file()});
  space_.make_secret("put", {{"url", server.url("/put")}});
  space_.create("r",
                kShort +
                    "  assets:\n  - name: slow\n    target: /work/slow\n    source: {https: {url: "
                    "\"" +
                    server.url("/slow") +
                    "\", caConfigMapRef: {name: ca, key: ca.crt}}}\n"
                    "  results: {path: /results, upload: {https: {urlFrom: {secretKeyRef: "
                    "{name: put, key: url}}, caConfigMapRef: {name: ca, key: ca.crt}}}}\n");
  for (const char* reason : {"Preparing", "Running", "Collecting"}) {
    space_.wait_for_reason("r", reason);
    space_.kill_operator();
    space_.start_operator();
  }
  const Node status = space_.wait_for_end("r");
  EXPECT_EQ(condition(status, "Succeeded"), "True Completed") << condition_message(status);
  EXPECT_EQ(condition(status, "ResultsStored"), "True Stored");
  EXPECT_EQ(at(space_.status("r"), "attempts.1.podName"), "");
  EXPECT_EQ(created_pods(space_.name()), 1);
  EXPECT_EQ(space_.log_of("r"), "started\n");
  int puts = 0;
  for (const ServedRequest& each : server.requests()) puts += each.method == "PUT";
  EXPECT_EQ(puts, 1);
}

TEST_F(Recovery, S6_AnEndThatNobodyCouldWriteDownIsWrittenLater) {
  space_.create("r", "  command: [sh, -c, 'echo started; sleep 2; exit 3']\n");
  space_.wait_for_reason("r", "Running");
  space_.forbid("sandboxruns/status", "patch");
  wait_until([&] { return at(space_.pods()[0], "status.phase") == "Failed"; }, "no end");
  EXPECT_EQ(condition(space_.status("r"), "Succeeded"), "Unknown Running");
  space_.kill_operator();
  space_.permit_all();
  space_.start_operator();
  const Node status = space_.wait_for_end("r");
  EXPECT_EQ(condition(status, "Succeeded"), "False NonZeroExit");
  EXPECT_EQ(at(status, "run.exitCode"), "3");
  expect_started_once("r");
}

TEST_F(Recovery, S5_KilledAgainAndAgainUnderManyRuns) {
  constexpr int kRuns = 12;
  for (int i = 0; i < kRuns; ++i) {
    space_.create("r" + std::to_string(i),
                  "  command: [sh, -c, 'echo started; sleep " + std::to_string(i % 3) + "']\n");
    if (i % 2 == 0) {
      space_.kill_operator();
      space_.start_operator();
    }
  }
  for (int i = 0; i < kRuns; ++i) {
    const std::string run = "r" + std::to_string(i);
    const Node status = space_.wait_for_end(run, seconds(120));
    EXPECT_EQ(condition(status, "Succeeded"), "True Completed") << condition_message(status);
    EXPECT_EQ(at(status, "attempts.1.podName"), "");
    EXPECT_EQ(space_.log_of(run), "started\n");
  }
  // The log lacks a creation whose caller was killed before it was answered.
  EXPECT_LE(created_pods(space_.name()), kRuns);
}

TEST_F(Recovery, T43_TwoOperatorsWithoutALeaderStartEachRunOnce) {
  const auto second = space_.another();
  for (int i = 0; i < 6; ++i) {
    space_.create("r" + std::to_string(i), "  command: [sh, -c, 'echo started']\n");
  }
  for (int i = 0; i < 6; ++i) {
    const std::string run = "r" + std::to_string(i);
    const Node status = space_.wait_for_end(run);
    EXPECT_EQ(condition(status, "Succeeded"), "True Completed") << condition_message(status);
    EXPECT_EQ(at(status, "attempts.1.podName"), "");
    EXPECT_EQ(space_.log_of(run), "started\n");
  }
  EXPECT_EQ(created_pods(space_.name()), 6);
}

TEST(Leadership, T43_MovesWithin17SecondsAfterAKillAndWithin2AfterAGracefulStop) {
  ServedNamespace space("leader", {.flags = {"--leader-elect"}, .set = {}});
  const auto leads = [](const OperatorProcess& each) {
    return each.metrics().contains("leader_election_master_status{name=\"sandboxrun-operator\"} 1");
  };
  const auto time_to_lead = [&](const OperatorProcess& next, steady_clock::time_point from) {
    while (!leads(next) && steady_clock::now() < from + seconds(60)) {
      std::this_thread::sleep_for(milliseconds(20));
    }
    return steady_clock::now() - from;
  };
  EXPECT_LE(time_to_lead(space.op(), steady_clock::now()), seconds(20));
  const auto second = space.another();
  EXPECT_FALSE(leads(*second));

  space.kill_operator();
  EXPECT_LE(time_to_lead(*second, steady_clock::now()), seconds(17));
  const auto third = space.another();
  const auto asked = steady_clock::now();
  const milliseconds stopping = second->stop();
  EXPECT_LE(time_to_lead(*third, asked + stopping), seconds(2));

  space.create("r", "  command: [sh, -c, 'echo started']\n");
  EXPECT_EQ(condition(space.wait_for_end("r"), "Succeeded"), "True Completed");
}

TEST_F(Recovery, S5_ARunOfADeletedNamespaceLeavesNothingAndHoldsUpNobody) {
  space_.create("long", "  command: [sleep, '600']\n");
  space_.wait_for_reason("long", "Running");
  // No finalizer: the namespace ends although the operator is told nothing.
  space_.cluster().kubectl_output(
      {"delete", "namespace", space_.name(), "--wait=true", "--timeout=90s"});
  EXPECT_TRUE(space_.op().is_running());
  EXPECT_THAT(space_.op().log(), ::testing::Not(HasSubstr("exception")));
}

}  // namespace
}  // namespace sandboxrun::test
