#include "operator/pod/observe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "operator/pod/compare.h"
#include "operator/run/evidence.h"
#include "operator/run/verdict.h"
#include "tests/support/pod/plans.h"
#include "tests/support/run/world.h"

// tests/unit/pods/README.md says where the pods come from.
namespace sandboxrun::pod {
namespace {

using namespace testing;  // NOLINT: the helpers' names say what they are
using run::InterruptionKind;
using run::Reason;
using run::testing::at;
using ::testing::IsEmpty;

const std::string kFolder = SANDBOXRUN_SOURCE_DIR "/tests/unit/pods/";

/// The pod of a file, with a hash of its own if it has none.
Node pod_of(const std::string& name) {
  std::ifstream file(kFolder + name + ".json", std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  Node pod = parsed(text.str());
  const std::string hash = "metadata.annotations.[sandboxrun.dev/pod-hash]";
  if (find(pod, hash) == nullptr) put(pod, hash, "\"" + pod_hash(pod) + "\"");
  return pod;
}

PodView view_of(const Node& pod) {
  auto view = observe(pod);
  if (view) return std::move(*view);
  ADD_FAILURE() << view.error().message;
  return {};
}

run::AttemptFacts facts_of(const std::string& name) {
  return view_of(pod_of(name)).facts;
}

Reason reason_of(const run::AttemptFacts& facts) {
  const run::Plan plan = run::testing::World().plan;
  return run::judge(plan, facts, run::read_evidence(facts), std::nullopt).reason;
}

const run::Interruption* interruption(const run::AttemptFacts& facts, InterruptionKind kind) {
  for (const auto& each : facts.interruptions) {
    if (each.kind == kind) return &each;
  }
  return nullptr;
}

struct Ending {
  const char* pod;
  Reason reason;
};

std::ostream& operator<<(std::ostream& out, const Ending& ending) {
  return out << ending.pod;
}

constexpr Ending kEndings[] = {
    {"completed", Reason::Completed},
    {"exit-3", Reason::NonZeroExit},
    {"prepare-failed", Reason::AssetDigestMismatch},
    {"stopped-while-preparing", Reason::Cancelled},
    {"stopped-while-running", Reason::Cancelled},
    {"backstop-deadline-while-collecting", Reason::Completed},
    {"deleted-while-running-exit-0", Reason::Disrupted},
    {"deleted-after-the-end", Reason::Completed},
    {"evicted-by-api-exit-0", Reason::Evicted},
    {"preempted-exit-0", Reason::Preempted},
    {"evicted-by-taint", Reason::Disrupted},
    {"node-shutdown", Reason::Disrupted},
    {"child-oom-killed-exit-0", Reason::OOMKilled},
    {"guard-oom-killed", Reason::OOMKilled},
    {"evicted-total-storage", Reason::EphemeralStorageExceeded},
    {"evicted-volume-size", Reason::EphemeralStorageExceeded},
    {"evicted-node-pressure", Reason::Evicted},
    {"image-patched-second-start", Reason::PodTampered},
    {"collector-crashed-early", Reason::CollectorFailed},
    {"collector-exit-9", Reason::CollectorFailed},
    {"collector-out-of-time", Reason::CollectorFailed},
    {"start-error", Reason::SandboxStartFailed},
    {"argument-too-long", Reason::SandboxStartFailed},
    {"sandbox-killed", Reason::GuardFailed},
    {"node-rejected-out-of-cpu", Reason::NodeRejected},
};

/// Those that are not over yet.
const std::set<std::string> kLiving = {"gated",
                                       "gated-by-another",
                                       "unschedulable",
                                       "preparing",
                                       "running",
                                       "collecting",
                                       "node-lost",
                                       "node-lost-deleted",
                                       "sandbox-not-made",
                                       "sandbox-killed-waiting",
                                       "secret-missing-in-env",
                                       "image-pull-backoff",
                                       "guard-volume-pull-backoff"};

class PodEnding : public ::testing::TestWithParam<Ending> {};

TEST_P(PodEnding, S6_IsJudgedByWhatWasSeen) {
  const run::AttemptFacts facts = facts_of(GetParam().pod);
  EXPECT_TRUE(facts.over);
  EXPECT_THAT(facts.mutations, IsEmpty());
  EXPECT_EQ(run::to_string(reason_of(facts)), run::to_string(GetParam().reason));
}

INSTANTIATE_TEST_SUITE_P(Observe, PodEnding, ::testing::ValuesIn(kEndings), [](const auto& each) {
  std::string name = each.param.pod;
  std::ranges::replace(name, '-', '_');
  return name;
});

TEST(Observe, EveryRecordedPodHasItsRow) {
  std::set<std::string> known = kLiving;
  for (const Ending& ending : kEndings) known.insert(ending.pod);
  std::set<std::string> found;
  for (const auto& file : std::filesystem::directory_iterator(kFolder)) {
    if (file.path().extension() == ".json") found.insert(file.path().stem());
  }
  EXPECT_EQ(found, known);
}

TEST(Observe, ThoseThatLiveAreNotOver) {
  for (const std::string& name : kLiving) EXPECT_FALSE(facts_of(name).over) << name;
}

TEST(Observe, SaysWhoThePodIs) {
  const PodView view = view_of(pod_of("running"));
  EXPECT_EQ(view.facts.presence, run::Presence::Present);
  EXPECT_EQ(view.facts.name, "weather-0a1b2c3d4e5f-1");
  EXPECT_EQ(view.facts.uid, "c0ffee00-0000-4000-8000-000000000001");
  EXPECT_EQ(view.facts.number, 1);
  EXPECT_EQ(view.facts.node, "node-1");
  EXPECT_EQ(view.facts.created, at(1));
  EXPECT_EQ(view.facts.scheduled, at(2));
  EXPECT_EQ(view.facts.token, "4f0c");
  EXPECT_TRUE(view.facts.collects);
  EXPECT_EQ(view.namespace_name, "restricted");
  EXPECT_EQ(view.resource_version, "4711");
  EXPECT_EQ(view.run_name, "weather");
  EXPECT_EQ(view.run_uid, "0f4c1d7e-0000-4000-8000-000000000000");
  EXPECT_EQ(view.plan_version, 1);
  EXPECT_FALSE(view.terminating);
}

TEST(Observe, TellsOurGateFromThoseOfOthers) {
  EXPECT_EQ(facts_of("gated").gate, run::Gate::Ours);
  const PodView other = view_of(pod_of("gated-by-another"));
  EXPECT_EQ(other.facts.gate, run::Gate::Foreign);
  EXPECT_EQ(other.other_gates, std::vector<std::string>{"kueue.x-k8s.io/admission"});
  EXPECT_EQ(facts_of("running").gate, run::Gate::None);
}

TEST(Observe, AGatedPodIsNotUnschedulable) {
  EXPECT_FALSE(facts_of("gated").unschedulable);
  const run::AttemptFacts facts = facts_of("unschedulable");
  EXPECT_TRUE(facts.unschedulable);
  EXPECT_EQ(facts.scheduling_message, "0/1 nodes are available: 1 Insufficient cpu.");
}

TEST(Observe, StepsAreWhereTheyAre) {
  const run::AttemptFacts preparing = facts_of("preparing");
  ASSERT_NE(preparing.prepare.started(), nullptr);
  EXPECT_EQ(preparing.prepare.started()->at, at(3));
  ASSERT_NE(preparing.run.waiting(), nullptr);
  EXPECT_EQ(preparing.run.waiting()->reason, "PodInitializing");
  const run::AttemptFacts running = facts_of("running");
  EXPECT_NE(running.prepare.ended(), nullptr);
  EXPECT_NE(running.run.started(), nullptr);
  EXPECT_NE(running.collect.started(), nullptr);
  const run::AttemptFacts collecting = facts_of("collecting");
  EXPECT_NE(collecting.run.ended(), nullptr);
  EXPECT_NE(collecting.collect.started(), nullptr);
}

TEST(Observe, APodWithoutStatusHasNoSteps) {
  const run::AttemptFacts facts = facts_of("gated");
  EXPECT_TRUE(std::holds_alternative<std::monostate>(facts.prepare.state));
  EXPECT_TRUE(std::holds_alternative<std::monostate>(facts.run.state));
  EXPECT_TRUE(std::holds_alternative<std::monostate>(facts.collect.state));
}

TEST(Observe, S6_ADeletionIsDatedWhenItWasAskedForNotWhenItsGraceEnds) {
  const run::AttemptFacts facts = facts_of("deleted-while-running-exit-0");
  const auto* deleted = interruption(facts, InterruptionKind::Deleted);
  ASSERT_NE(deleted, nullptr);
  EXPECT_EQ(deleted->at, at(15));
  EXPECT_TRUE(view_of(pod_of("deleted-while-running-exit-0")).terminating);
}

TEST(Observe, AnEvictionForOwnStorageHasNoTimeAndCountsAsBeforeTheEnd) {
  const run::AttemptFacts facts = facts_of("evicted-total-storage");
  const auto* evicted = interruption(facts, InterruptionKind::StorageExceeded);
  ASSERT_NE(evicted, nullptr);
  EXPECT_FALSE(evicted->at);
  EXPECT_EQ(facts.run.ended()->runtime_reason, "ContainerStatusUnknown");
  EXPECT_FALSE(facts.run.ended()->start);
}

TEST(Observe, AnEvictionIsReportedOnce) {
  const run::AttemptFacts facts = facts_of("evicted-node-pressure");
  ASSERT_EQ(facts.interruptions.size(), 1U);
  EXPECT_EQ(facts.interruptions[0].kind, InterruptionKind::Evicted);
  EXPECT_EQ(facts.interruptions[0].at, at(15));
}

TEST(Observe, ADeadlineWithoutAStopIsDatedByThePodsStart) {
  const run::AttemptFacts facts = facts_of("backstop-deadline-while-collecting");
  const auto* deadline = interruption(facts, InterruptionKind::Deadline);
  ASSERT_NE(deadline, nullptr);
  EXPECT_EQ(deadline->at, at(32));
}

TEST(Observe, ADeadlineThatFollowsAStopIsOurDoing) {
  const run::AttemptFacts facts = facts_of("stopped-while-running");
  ASSERT_TRUE(facts.stop);
  EXPECT_EQ(facts.stop->reason, Reason::Cancelled);
  EXPECT_EQ(facts.stop->at, at(15));
  EXPECT_FALSE(interruption(facts, InterruptionKind::Deadline)->at);
}

TEST(Observe, AStartThatNeverWasHasNoTime) {
  const run::AttemptFacts facts = facts_of("start-error");
  EXPECT_EQ(facts.run.ended()->runtime_reason, "StartError");
  EXPECT_FALSE(facts.run.ended()->start);
}

TEST(Observe, TheContainerBeforeIsKept) {
  const run::AttemptFacts facts = facts_of("image-patched-second-start");
  EXPECT_EQ(facts.run.restarts, 1);
  ASSERT_TRUE(facts.run.earlier);
  EXPECT_EQ(facts.run.earlier->exit_code, 137);
  EXPECT_EQ(facts_of("collector-crashed-early").collect.earlier->termination_message, "it crashed");
}

TEST(Observe, ARejectionByTheNodeIsNoInterruption) {
  const run::AttemptFacts facts = facts_of("node-rejected-out-of-cpu");
  EXPECT_EQ(facts.over_reason, "OutOfcpu");
  EXPECT_THAT(facts.interruptions, IsEmpty());
}

TEST(Observe, WhatKeepsAContainerFromStartingIsKept) {
  EXPECT_EQ(facts_of("image-pull-backoff").run.waiting()->reason, "ImagePullBackOff");
  EXPECT_EQ(facts_of("secret-missing-in-env").run.waiting()->reason, "CreateContainerConfigError");
  const auto trouble = run::find_start_trouble(facts_of("guard-volume-pull-backoff"));
  ASSERT_TRUE(trouble);
  EXPECT_EQ(trouble->verdict.reason, Reason::ImagePullFailed);
}

TEST(Observe, ANodeIsLostOnceItsPodsAreMarkedNotReady) {
  EXPECT_EQ(facts_of("node-lost").node_lost, at(60));
  EXPECT_TRUE(facts_of("node-lost-deleted").node_lost);
  EXPECT_FALSE(facts_of("running").node_lost);
  EXPECT_FALSE(facts_of("collecting").node_lost);
  EXPECT_FALSE(facts_of("sandbox-killed-waiting").node_lost);
}

TEST(Observe, APodWithoutNameOrUidIsAnError) {
  EXPECT_EQ(observe(parsed("{}")).error().kind, ErrorKind::InvalidInput);
  EXPECT_EQ(observe(parsed(R"({"metadata":{"name":"x"}})")).error().kind, ErrorKind::InvalidInput);
}

TEST(Observe, T42_ValuesOfTheWrongTypeAreTakenForNotKnown) {
  const Node pod =
      parsed(R"({"metadata":{"name":"x","uid":"u","ownerReferences":[1,{"controller":"yes"}],)"
             R"("annotations":[],"labels":"l","deletionTimestamp":7},)"
             R"("spec":{"containers":{},"schedulingGates":[{}],"nodeName":4},)"
             R"("status":{"phase":true,"conditions":[[],{"type":"Ready","status":0}],)"
             R"("containerStatuses":[{"name":"run","state":{"terminated":{"exitCode":"0"}},)"
             R"("restartCount":"x"}]}})");
  const PodView view = view_of(pod);
  EXPECT_FALSE(view.facts.over);
  EXPECT_EQ(view.facts.node, "");
  ASSERT_NE(view.facts.run.ended(), nullptr);
  EXPECT_EQ(view.facts.run.ended()->exit_code, -1);
}

TEST(Observe, S6_AnEndWithoutAnExitCodeIsNoSuccess) {
  Node pod = pod_of("completed");
  drop(pod, "status.containerStatuses[run].state.terminated.exitCode");
  EXPECT_NE(reason_of(view_of(pod).facts), Reason::Completed);
}

TEST(Observe, T18_APodThatWasChangedIsNotIntact) {
  Node pod = pod_of("completed");
  put(pod, "spec.containers[run].image", "\"x:latest\"");
  const run::AttemptFacts facts = view_of(pod).facts;
  EXPECT_EQ(facts.mutations.size(), 1U);
  EXPECT_EQ(reason_of(facts), Reason::PodTampered);
}

TEST(Observe, T18_AnOwnerThatIsNoRunOfOursOwnsNothing) {
  Node pod = pod_of("running");
  put(pod, "metadata.ownerReferences[weather].kind", "\"ReplicaSet\"");
  EXPECT_EQ(view_of(pod).run_uid, "");
}

TEST(Observe, T13_AnotherImageThatRanIsTampering) {
  PodView view = view_of(pod_of("completed"));
  note_differences(view, {"spec.containers[run].image was changed"});
  EXPECT_TRUE(view.facts.run.image_differs);
  EXPECT_EQ(reason_of(view.facts), Reason::PodTampered);
}

TEST(Observe, T13_AnotherImageThatNeverRanIsAMutation) {
  PodView view = view_of(pod_of("gated"));
  note_differences(view, {"spec.containers[run].image was changed"});
  EXPECT_FALSE(view.facts.run.image_differs);
  EXPECT_EQ(reason_of(view.facts), Reason::PodMutated);
}

TEST(Observe, DifferencesReplaceTheVerdictOfTheHash) {
  Node pod = pod_of("completed");
  put(pod, "metadata.annotations.[sandboxrun.dev/pod-hash]", "\"sha256:0\"");
  PodView view = view_of(pod);
  EXPECT_EQ(view.facts.mutations.size(), 1U);
  note_differences(view, {});
  EXPECT_THAT(view.facts.mutations, IsEmpty());
}

}  // namespace
}  // namespace sandboxrun::pod
