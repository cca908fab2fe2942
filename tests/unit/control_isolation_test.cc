#include "operator/control/isolation.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <string_view>
#include <thread>

#include "operator/control/http_server.h"
#include "sandbox-image/agent/probe.h"

namespace sandboxrun::control {
namespace {

using enum run::Isolation;

ProbeAnswer answered() {
  return {.answered = true, .answers = 20, .last = "answered"};
}
ProbeAnswer silent() {
  return {.answered = false, .answers = 0, .last = "Connection timed out"};
}

TEST(Isolation, T37_IsEnforcedOnlyIfTheOneThatMayConnectsAndTheOtherDoesNot) {
  EXPECT_EQ(judge(answered(), silent()).state, Enforced);
  EXPECT_EQ(judge(answered(), answered()).state, NotEnforced);
  EXPECT_EQ(judge(silent(), answered()).state, NotEnforced);
  const Isolation neither = judge(silent(), silent());
  EXPECT_EQ(neither.state, Unknown);
  EXPECT_TRUE(neither.message.ends_with("could not either: Connection timed out"));
}

TEST(Isolation, AnswersBeforeAPolicyTookHoldDoNotCount) {
  EXPECT_EQ(judge(answered(), {.answered = false, .answers = 2, .last = "timed out"}).state,
            Enforced);
}

TEST(IsolationState, ADefiniteAnswerIsNotForgottenForAnInconclusiveOne) {
  IsolationState state(Unknown);
  EXPECT_TRUE(state.take({Unknown, "no image"}));
  EXPECT_FALSE(state.take({Unknown, "no image"}));
  EXPECT_EQ(state.get().message, "no image");
  EXPECT_TRUE(state.take({Enforced, "tried"}));
  EXPECT_FALSE(state.take({Unknown, "no image"}));
  EXPECT_EQ(state.get().state, Enforced);
  EXPECT_TRUE(state.take({NotEnforced, "tried"}));
  EXPECT_EQ(state.get().state, NotEnforced);
}

IsolationProbeOptions options() {
  return {.namespace_name = "system",
          .pod_name = "operator-1",
          .pod_uid = "uid-1",
          .pod_ip = "10.0.0.7",
          .sandbox_image = "r.example/s@sha256:" + std::string(64, 'b')};
}

TEST(IsolationPod, S2_IsHardenedLikeARun) {
  const auto pod = parse_json(render_probe_pod(options(), kDenied, "token", "10.0.0.7:8082"));
  ASSERT_TRUE(pod);
  const Node* spec = pod->find("spec");
  EXPECT_FALSE(spec->find("hostUsers")->boolean);
  EXPECT_FALSE(spec->find("automountServiceAccountToken")->boolean);
  EXPECT_EQ(spec->find("restartPolicy")->text, "Never");
  EXPECT_EQ(spec->find("volumes"), nullptr);
  const Node& container = spec->find("containers")->items.at(0);
  EXPECT_EQ(container.find("image")->text, options().sandbox_image);
  const Node* security = container.find("securityContext");
  EXPECT_FALSE(security->find("allowPrivilegeEscalation")->boolean);
  EXPECT_TRUE(security->find("readOnlyRootFilesystem")->boolean);
  EXPECT_TRUE(security->find("runAsNonRoot")->boolean);
  EXPECT_EQ(security->find("capabilities")->find("drop")->items.at(0).text, "ALL");
  EXPECT_EQ(pod->find("metadata")->find("labels")->find(kProbeLabel)->text, "denied");
}

TEST(IsolationPod, IsNoPodOfARunAndGoesWithTheOperatorsPod) {
  const auto pod = parse_json(render_probe_pod(options(), kAllowed, "token", "10.0.0.7:8082"));
  ASSERT_TRUE(pod);
  const Node* meta = pod->find("metadata");
  EXPECT_EQ(meta->find("labels")->find("sandboxrun.dev/run-uid"), nullptr);
  EXPECT_EQ(meta->find("ownerReferences")->items.at(0).find("uid")->text, "uid-1");
  EXPECT_EQ(meta->find("name")->text.find("token"), std::string::npos);
}

agent::ProbeOrder order_for(const std::string& address) {
  auto order = agent::parse_probe_address(address);
  EXPECT_TRUE(order) << address;
  order->patience = std::chrono::milliseconds(100);
  order->pause = std::chrono::milliseconds(20);
  return *order;
}

TEST(AgentProbe, GetsTheAnswerOfWhoeverListens) {
  for (const std::string host : {"127.0.0.1", "[::1]"}) {
    const auto server = HttpServer::start(
        host + ":0", [](std::string_view) { return HttpAnswer{.body = "secret"}; });
    ASSERT_TRUE(server) << server.error().message;
    const auto report = agent::probe(order_for(host + ":" + std::to_string((*server)->port())), {});
    EXPECT_EQ(report.last, "answered");
    EXPECT_EQ(report.answer, "secret");
    EXPECT_EQ(report.answers, report.attempts);
  }
}

TEST(AgentProbe, TriesAgainWhileNobodyListens) {
  const auto report = agent::probe(order_for("127.0.0.1:1"), {});
  EXPECT_EQ(report.last, "Connection refused");
  EXPECT_EQ(report.answers, 0);
  EXPECT_GE(report.attempts, 2);
}

TEST(AgentProbe, TheLastTryCounts) {
  auto server =
      HttpServer::start("127.0.0.1:0", [](std::string_view) { return HttpAnswer{.body = "x"}; });
  ASSERT_TRUE(server);
  auto order = order_for("127.0.0.1:" + std::to_string((*server)->port()));
  order.patience = std::chrono::milliseconds(600);
  std::jthread closing([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    server->reset();
  });
  const auto report = agent::probe(order, {});
  EXPECT_EQ(report.last, "Connection refused");
  EXPECT_GE(report.answers, 1);
}

TEST(AgentProbe, TakesAddressesAndNoNames) {
  for (const char* good : {"10.0.0.7:8082", "[fd00::7]:8082"}) {
    EXPECT_TRUE(agent::parse_probe_address(good)) << good;
  }
  for (const char* bad : {"", "10.0.0.7", "10.0.0.7:0", "10.0.0.7:65536", "fd00::7:8082",
                          "[10.0.0.7]:1", "example.com:80", "10.0.0.7:80x"}) {
    EXPECT_FALSE(agent::parse_probe_address(bad)) << bad;
  }
}

}  // namespace
}  // namespace sandboxrun::control
