#include "operator/run/decide.h"

#include <gtest/gtest.h>

#include <functional>
#include <ostream>
#include <set>

#include "tests/support/run/world.h"

// What each fact leads to. One table holds a way to every reason of the closed list, another one
// the endings of pods as a real cluster shows them.
namespace sandboxrun::run {
namespace {

using protocol::Step;
using protocol::Subject;
using testing::at;
using testing::World;

struct Case {
  const char* name;
  Reason reason;
  bool ends;
  std::function<void(World&)> arrange;
};

void PrintTo(const Case& each, std::ostream* out) {
  *out << each.name;
}

void prepare_fails(World& world, Subject subject, Step step, ErrorKind kind) {
  world.never_started();
  world.prepare().termination_message = testing::failed_prepare_report(subject, step, kind);
}

void refused(World& world, RefusalKind kind) {
  world.not_created();
  world.pod().refusal = Refusal{kind, "forbidden: no", std::nullopt};
}

void waits(World& world, const char* reason, double now) {
  world.preparing();
  world.pod().prepare.state = Waiting{reason, "no such thing"};
  world.now = at(now);
}

void troubled(World& world, TroubleKind kind, double now) {
  world.preparing();
  world.pod().prepare.state = Waiting{"PodInitializing", ""};
  world.pod().trouble = Trouble{kind, "FailedCreatePodSandBox: no"};
  world.now = at(now);
}

// Stops are given up on in two steps: ask, then see the end.
void given_up(World& world) {
  world.step();
  world.pod().over = true;
}

const Case kReasons[] = {
    {"NothingExistsYet", Reason::Pending, false, [](World& w) { w.not_created(); }},
    {"WaitsForANode", Reason::Pending, false, [](World& w) { w.not_scheduled(); }},
    {"SuspendHoldsCreation", Reason::Suspended, false,
     [](World& w) {
       w.not_created();
       w.seen.wishes.suspend = true;
     }},
    {"QuotaRefuses", Reason::PodRefused, false, [](World& w) { refused(w, RefusalKind::Quota); }},
    {"QuotaRefusesUntilTheStartDeadline", Reason::PodRefused, true,
     [](World& w) {
       refused(w, RefusalKind::Quota);
       w.now = at(3600);
     }},
    {"NoNodeFits", Reason::Unschedulable, false,
     [](World& w) {
       w.not_scheduled();
       w.pod().unschedulable = true;
     }},
    {"ForeignGate", Reason::SchedulingGated, false,
     [](World& w) {
       w.not_scheduled();
       w.pod().gate = Gate::Foreign;
     }},
    {"PrepareRuns", Reason::Preparing, false, [](World& w) { w.preparing(); }},
    {"CommandRuns", Reason::Running, false, [](World& w) { w.running(); }},
    {"CollectorRuns", Reason::Collecting, false, [](World& w) { w.collecting(); }},
    {"BackoffLimitAllowsAnother", Reason::Retrying, false,
     [](World& w) {
       w.exits(1);
       w.collect().termination_message = "";
       w.plan.backoff_limit = 1;
     }},
    {"NodeAway", Reason::NodeLost, false,
     [](World& w) {
       w.running();
       w.pod().node_lost = at(14);
     }},
    {"NodeAwayForTooLong", Reason::NodeLost, true,
     [](World& w) {
       w.running();
       w.pod().node_lost = at(14);
       w.now = at(14 + 600);
     }},
    {"NodeAwayAndPodCollectedAsGarbage", Reason::NodeLost, true,
     [](World& w) {
       w.running();
       w.pod().node_lost = at(14);
       w.step();
       w.seen.attempt = AttemptFacts{};
       w.pod().presence = Presence::Absent;
     }},
    {"AllWentWell", Reason::Completed, true, [](World&) {}},
    {"OnlyACommandThatWentWell", Reason::Completed, true, [](World& w) { w.only_a_command(); }},
    {"ServerRefusesAField", Reason::InvalidSpec, true,
     [](World& w) { refused(w, RefusalKind::Invalid); }},
    {"WebhookChangedThePod", Reason::PodMutated, true,
     [](World& w) {
       w.not_scheduled();
       w.pod().gate = Gate::Ours;
       w.pod().mutations = {"spec.containers[0].image"};
       w.step();
       w.pod().presence = Presence::Absent;
     }},
    {"ImageOfTheRunningPodPatched", Reason::PodTampered, true,
     [](World& w) { w.pod().run.image_differs = true; }},
    {"PodChangedWhileItRan", Reason::PodTampered, true,
     [](World& w) { w.pod().mutations = {"spec.tolerations"}; }},
    {"AnotherObjectHasTheName", Reason::NameConflict, true,
     [](World& w) {
       w.not_created();
       w.pod().presence = Presence::Foreign;
     }},
    {"PriorityClassMissing", Reason::ReferenceMissing, true,
     [](World& w) { refused(w, RefusalKind::ReferenceMissing); }},
    {"SecretKeyMissing", Reason::ReferenceMissing, true,
     [](World& w) {
       waits(w, "CreateContainerConfigError", 2 + 120);
       given_up(w);
     }},
    {"SecretVolumeMissing", Reason::ReferenceMissing, true,
     [](World& w) {
       troubled(w, TroubleKind::ReferenceMissing, 2 + 120);
       given_up(w);
     }},
    {"ImageCannotBePulled", Reason::ImagePullFailed, true,
     [](World& w) {
       waits(w, "ImagePullBackOff", 2 + 300);
       given_up(w);
     }},
    {"SignatureRefused", Reason::SignatureInvalid, true,
     [](World& w) {
       waits(w, "SignatureValidationFailed", 5);
       given_up(w);
     }},
    {"RuntimeClassMissing", Reason::RuntimeClassUnavailable, true,
     [](World& w) { refused(w, RefusalKind::RuntimeClassMissing); }},
    {"HandlerMissing", Reason::RuntimeClassUnavailable, true,
     [](World& w) {
       troubled(w, TroubleKind::RuntimeClass, 2 + 120);
       given_up(w);
     }},
    {"EgressWithoutIsolation", Reason::NetworkIsolationUnavailable, true,
     [](World& w) {
       w.not_created();
       w.plan.network.mode = NetworkMode::Egress;
       w.seen.isolation = Isolation::NotEnforced;
     }},
    {"NodeRejects", Reason::NodeRejected, true,
     [](World& w) {
       w.never_started();
       w.pod().prepare = w.pod().run = w.pod().collect = {};
       w.pod().over_reason = "OutOfcpu";
     }},
    {"SandboxCannotBeMade", Reason::SandboxStartFailed, true,
     [](World& w) {
       troubled(w, TroubleKind::Sandbox, 2 + 300);
       given_up(w);
     }},
    {"GuardRefuses", Reason::GuardFailed, true,
     [](World& w) {
       w.exits(125);
       w.run().termination_message = testing::write({.stage = "guard",
                                                     .cause = "guard-failed",
                                                     .code = 125,
                                                     .started = false,
                                                     .child_code = -1});
     }},
    {"EnvironmentNotFetched", Reason::EnvironmentFetchFailed, true,
     [](World& w) { prepare_fails(w, Subject::Environment, Step::Fetch, ErrorKind::Transport); }},
    {"EnvironmentDigestDiffers", Reason::EnvironmentDigestMismatch, true,
     [](World& w) {
       prepare_fails(w, Subject::Environment, Step::Verify, ErrorKind::DigestMismatch);
     }},
    {"EnvironmentUnsafe", Reason::EnvironmentUnpackFailed, true,
     [](World& w) {
       prepare_fails(w, Subject::Environment, Step::Unpack, ErrorKind::ArchiveUnsafe);
     }},
    {"AssetNotFetched", Reason::AssetFetchFailed, true,
     [](World& w) { prepare_fails(w, Subject::Asset, Step::Fetch, ErrorKind::Rejected); }},
    {"AssetDigestDiffers", Reason::AssetDigestMismatch, true,
     [](World& w) { prepare_fails(w, Subject::Asset, Step::Verify, ErrorKind::DigestMismatch); }},
    {"AssetNotPlaced", Reason::AssetPlaceFailed, true,
     [](World& w) { prepare_fails(w, Subject::Asset, Step::Place, ErrorKind::System); }},
    {"OrderUnreadable", Reason::AgentReportInvalid, true,
     [](World& w) { prepare_fails(w, Subject::Order, Step::Read, ErrorKind::InvalidInput); }},
    {"SetupStepFails", Reason::SetupFailed, true,
     [](World& w) {
       w.exits(123);
       w.run().termination_message = testing::write({.stage = "setup",
                                                     .cause = "setup-failed",
                                                     .code = 123,
                                                     .started = false,
                                                     .child_code = 1,
                                                     .step = 0});
     }},
    {"SetupStepRunsOutOfTime", Reason::SetupFailed, true,
     [](World& w) {
       w.exits(123);
       w.run().termination_message = testing::write({.stage = "setup",
                                                     .cause = "setup-timeout",
                                                     .code = 123,
                                                     .started = false,
                                                     .child_code = -1,
                                                     .step = 0});
     }},
    {"CommandNotFound", Reason::StartFailed, true,
     [](World& w) {
       w.exits(127);
       w.run().termination_message =
           testing::write({.cause = "not-found", .code = 127, .started = false, .child_code = -1});
     }},
    {"CommandNotExecutable", Reason::StartFailed, true,
     [](World& w) {
       w.exits(126);
       w.run().termination_message = testing::write(
           {.cause = "not-executable", .code = 126, .started = false, .child_code = -1});
     }},
    {"CommandFails", Reason::NonZeroExit, true, [](World& w) { w.exits(7); }},
    {"CommandCrashes", Reason::Signaled, true,
     [](World& w) {
       w.exits(139);
       w.run().termination_message =
           testing::write({.cause = "signaled", .code = 139, .child_code = -1, .signal = 11});
     }},
    {"MemoryLimitReached", Reason::OOMKilled, true,
     [](World& w) { w.run() = testing::ended(137, 10, 20, "", "OOMKilled"); }},
    {"EvictedByTheNode", Reason::Evicted, true,
     [](World& w) { w.interrupted(InterruptionKind::Evicted, 15); }},
    {"WroteTooMuch", Reason::EphemeralStorageExceeded, true,
     [](World& w) { w.interrupted(InterruptionKind::StorageExceeded, 15); }},
    {"PreemptedByTheScheduler", Reason::Preempted, true,
     [](World& w) { w.interrupted(InterruptionKind::Preempted, 15); }},
    {"NodeShutDown", Reason::Disrupted, true,
     [](World& w) { w.interrupted(InterruptionKind::Disrupted, 15); }},
    {"GuardStoppedByNobodyWeKnow", Reason::Disrupted, true,
     [](World& w) {
       w.exits(143);
       w.run().termination_message =
           testing::write({.cause = "stopped", .code = 143, .child_code = -1, .signal = 15});
     }},
    {"GuardKeptTheDeadline", Reason::DeadlineExceeded, true,
     [](World& w) {
       w.exits(124);
       w.run().termination_message =
           testing::write({.cause = "deadline", .code = 124, .child_code = -1, .signal = 15});
     }},
    {"NothingCouldBeCreated", Reason::StartDeadlineExceeded, true,
     [](World& w) {
       w.not_created();
       w.now = at(3600);
     }},
    {"NeverScheduled", Reason::StartDeadlineExceeded, true,
     [](World& w) {
       w.not_scheduled();
       w.now = at(3600);
       w.step();
       w.pod().presence = Presence::Absent;
     }},
    {"ResultsUnsafe", Reason::ResultsRejected, true,
     [](World& w) {
       w.collect() = testing::ended(
           1, 3, 25, testing::failed_collect_report(Step::Archive, ErrorKind::ArchiveUnsafe));
     }},
    {"UploadFails", Reason::ResultsUploadFailed, true,
     [](World& w) {
       w.collect() = testing::ended(
           1, 3, 25, testing::failed_collect_report(Step::Upload, ErrorKind::Rejected));
     }},
    {"CollectorBreaks", Reason::CollectorFailed, true,
     [](World& w) { w.collect() = testing::ended(9, 3, 25, "", "Error"); }},
    {"CancelledBeforeCreation", Reason::Cancelled, true,
     [](World& w) {
       w.not_created();
       w.seen.wishes.cancel = true;
     }},
    {"CancelledWhileItRan", Reason::Cancelled, true,
     [](World& w) {
       w.exits(143);
       w.stopped(Reason::Cancelled, 15);
     }},
    {"GoneUnseen", Reason::PodLost, true,
     [](World& w) {
       w.seen.attempt = AttemptFacts{};
       w.pod().presence = Presence::Absent;
     }},
};

// Reasons of runs that have no plan come from decide_refused().
bool needs_no_plan(Reason reason) {
  return reason == Reason::PolicyDenied;
}

class EveryReason : public ::testing::TestWithParam<Case> {};

TEST_P(EveryReason, IsDecided) {
  World world;
  GetParam().arrange(world);
  const Decision decision = world.decide();
  EXPECT_EQ(to_string(decision.status.reason()), to_string(GetParam().reason));
  EXPECT_EQ(decision.status.ended(), GetParam().ends);
  EXPECT_EQ(decision.status.succeeded(), GetParam().reason == Reason::Completed);
}

INSTANTIATE_TEST_SUITE_P(Decide, EveryReason, ::testing::ValuesIn(kReasons),
                         [](const auto& each) { return std::string(each.param.name); });

TEST(Decide, EveryReasonOfTheListHasACaseInEachUse) {
  std::set<std::pair<Reason, bool>> seen;
  for (const Case& each : kReasons) seen.emplace(each.reason, each.ends);
  for (const ReasonInfo& row : all_reasons()) {
    if (needs_no_plan(row.reason)) continue;
    if (row.use != ReasonUse::End) {
      EXPECT_TRUE(seen.contains({row.reason, false})) << row.name;
    }
    if (row.use != ReasonUse::Stage) {
      EXPECT_TRUE(seen.contains({row.reason, true})) << row.name;
    }
  }
}

TEST(Decide, ARefusedManifestEndsTheRunWithItsReason) {
  for (const Reason reason : {Reason::InvalidSpec, Reason::PolicyDenied}) {
    const Status status =
        decide_refused(reason, "spec.priorityClassName: not listed", {}, {}, at(1)).status;
    EXPECT_EQ(status.reason(), reason);
    EXPECT_TRUE(status.ended());
    EXPECT_EQ(status.conditions.size(), 8u);
    EXPECT_EQ(status.find(ConditionType::Succeeded)->message, "spec.priorityClassName: not listed");
  }
}

TEST(Decide, ARunInFlightIsLeftAloneByAPolicyThatWouldRefuseItNow) {
  World world;
  const Decision decision =
      decide_refused(Reason::PolicyDenied, "no", world.seen.wishes, world.previous, at(50));
  EXPECT_EQ(decision.status, world.previous);
  EXPECT_TRUE(decision.actions.empty());
}

// How pods end on a real cluster (Kubernetes 1.37, containerd 2.4, runc 1.5).
struct Ending {
  const char* name;
  Reason reason;
  std::optional<int> exit_code;
  ConditionStatus stored;
  std::function<void(World&)> arrange;
};

void PrintTo(const Ending& each, std::ostream* out) {
  *out << each.name;
}

constexpr auto kStored = ConditionStatus::True;
constexpr auto kNotStored = ConditionStatus::False;

Ended lost_container(double finish) {
  Ended lost = testing::ended(137, 0, finish, "", "ContainerStatusUnknown");
  lost.start.reset();
  return lost;
}

const Ending kEndings[] = {
    {"PrepareFailedAndTheRunNeverStarted", Reason::AssetFetchFailed, std::nullopt, kNotStored,
     [](World& w) { prepare_fails(w, Subject::Asset, Step::Fetch, ErrorKind::Transport); }},
    {"StoppedWhilePreparing", Reason::Cancelled, std::nullopt, kNotStored,
     [](World& w) {
       prepare_fails(w, Subject::Environment, Step::Fetch, ErrorKind::Cancelled);
       w.stopped(Reason::Cancelled, 6);
       w.interrupted(InterruptionKind::Deadline, std::nullopt);
     }},
    {"StoppedWhileRunning", Reason::Cancelled, 143, kStored,
     [](World& w) {
       w.exits(143);
       w.stopped(Reason::Cancelled, 15);
       w.interrupted(InterruptionKind::Deadline, std::nullopt);
     }},
    {"DeadlineHitWhileCollectingAndTheRunHadExited0", Reason::Completed, 0, kStored,
     [](World& w) { w.interrupted(InterruptionKind::Deadline, 23); }},
    {"DeletedWhileRunningAndTheRunTrapsSigtermAndExits0", Reason::Disrupted, 0, kStored,
     [](World& w) { w.interrupted(InterruptionKind::Deleted, 15); }},
    {"EvictionApiWhileRunningAndTheRunExits0", Reason::Evicted, 0, kStored,
     [](World& w) {
       w.interrupted(InterruptionKind::Evicted, 15);
       w.interrupted(InterruptionKind::Deleted, 15);
     }},
    {"PreemptedWhileRunningAndTheRunExits0", Reason::Preempted, 0, kStored,
     [](World& w) {
       w.interrupted(InterruptionKind::Preempted, 15);
       w.interrupted(InterruptionKind::Deleted, 15);
     }},
    {"DeletedAfterItsEndWithTheFullStatusSeenLast", Reason::Completed, 0, kStored,
     [](World& w) {
       w.interrupted(InterruptionKind::Deleted, 60);
       w.pod().presence = Presence::Absent;
     }},
    {"ChildOomKilledWhilePid1SurvivesAndExits0", Reason::OOMKilled, 0, kStored,
     [](World& w) { w.run().runtime_reason = "OOMKilled"; }},
    {"Pid1OomKilled", Reason::OOMKilled, 137, kStored,
     [](World& w) { w.run() = testing::ended(137, 10, 20, "", "OOMKilled"); }},
    {"DiskSumOverTheLimit", Reason::EphemeralStorageExceeded, std::nullopt, kNotStored,
     [](World& w) {
       w.pod().run.state = lost_container(20);
       w.pod().run.restarts = 1;
       w.pod().collect.state = lost_container(20);
       w.pod().collect.restarts = 1;
       w.interrupted(InterruptionKind::StorageExceeded, std::nullopt);
     }},
    {"EmptyDirOverItsLimit", Reason::EphemeralStorageExceeded, std::nullopt, kNotStored,
     [](World& w) {
       w.pod().run.state = lost_container(20);
       w.pod().run.restarts = 1;
       w.pod().collect.state = lost_container(20);
       w.interrupted(InterruptionKind::StorageExceeded, 19);
     }},
    {"UnlinkedFileHeldOpenCountsNowhere", Reason::Completed, 0, kStored, [](World&) {}},
    {"ImageOfARunningPodPatchedAndTheRunStartedTwice", Reason::PodTampered, 0, kStored,
     [](World& w) {
       w.pod().run.restarts = 1;
       w.pod().run.earlier = testing::ended(137, 10, 15, "", "Error");
     }},
    {"CollectorExits7AtOnceAndNeverGetsSigterm", Reason::CollectorFailed, 0, kNotStored,
     [](World& w) {
       w.pod().collect.state = lost_container(25);
       w.pod().collect.restarts = 3;
       w.pod().collect.earlier = testing::ended(7, 3, 4, "", "Error");
     }},
    {"CollectorExits9AfterSigterm", Reason::CollectorFailed, 0, kNotStored,
     [](World& w) { w.collect() = testing::ended(9, 3, 25, "", "Error"); }},
    {"CollectorBusyWhenTheGraceEnds", Reason::CollectorFailed, 0, kNotStored,
     [](World& w) { w.collect() = testing::ended(137, 3, 25, "", "Error"); }},
    {"RunIgnoresSigtermAndTheCollectorIsKilledSoonAfter", Reason::Cancelled, 143, kNotStored,
     [](World& w) {
       w.exits(143);
       w.stopped(Reason::Cancelled, 15);
       w.collect() = testing::ended(137, 3, 25, "", "Error");
     }},
    {"SidecarThatNeverGetsReady", Reason::StartDeadlineExceeded, std::nullopt, kNotStored,
     [](World& w) {
       w.preparing();
       w.pod().prepare.state = testing::ended(0, 3, 4, testing::good_prepare_report());
       w.now = at(3600);
       given_up(w);
       w.pod().collect.state = testing::ended(0, 3, 3601, "");
     }},
    {"CommandCannotBeStarted", Reason::SandboxStartFailed, std::nullopt, kStored,
     [](World& w) {
       w.run() = testing::ended(128, 0, 20, "exec format error", "StartError");
       w.run().start = TimePoint{};
     }},
    {"ArgumentOf140000Bytes", Reason::SandboxStartFailed, 255, kStored,
     [](World& w) { w.run() = testing::ended(255, 10, 11, "", "Error"); }},
    {"SandboxProcessKilled", Reason::Disrupted, 137, kStored,
     [](World& w) {
       w.run() = testing::ended(137, 10, 20, "", "");
       w.interrupted(InterruptionKind::Disrupted, std::nullopt);
     }},
    {"RejectedByTheKubelet", Reason::NodeRejected, std::nullopt, kNotStored,
     [](World& w) {
       w.never_started();
       w.pod().prepare = w.pod().run = w.pod().collect = {};
       w.pod().over_reason = "OutOfcpu";
     }},
    {"HandlerMissingOnTheNode", Reason::RuntimeClassUnavailable, std::nullopt, kNotStored,
     [](World& w) {
       troubled(w, TroubleKind::RuntimeClass, 2 + 120);
       given_up(w);
     }},
    {"SecretVolumeMissing", Reason::ReferenceMissing, std::nullopt, kNotStored,
     [](World& w) {
       troubled(w, TroubleKind::ReferenceMissing, 2 + 120);
       given_up(w);
     }},
    {"SecretOrKeyMissingInEnv", Reason::ReferenceMissing, std::nullopt, kNotStored,
     [](World& w) {
       w.preparing();
       w.pod().prepare.state = testing::ended(0, 3, 4, testing::good_prepare_report());
       w.pod().run.state = Waiting{"CreateContainerConfigError", "secret \"s\" not found"};
       w.now = at(4 + 120);
       given_up(w);
     }},
    {"BadImageVolumeAfterPrepareHasDoneItsWork", Reason::ImagePullFailed, std::nullopt, kNotStored,
     [](World& w) {
       w.preparing();
       w.pod().prepare.state = testing::ended(0, 3, 400, testing::good_prepare_report());
       w.pod().run.state = Waiting{"ImagePullBackOff", "not found"};
       w.now = at(400 + 300);
       given_up(w);
     }},
    {"NodeLostAndPodCollectedAsGarbage", Reason::NodeLost, std::nullopt, kNotStored,
     [](World& w) {
       w.running();
       w.pod().node_lost = at(14);
       w.interrupted(InterruptionKind::Disrupted, 14);
       w.step();
       w.seen.attempt = AttemptFacts{};
       w.pod().presence = Presence::Absent;
     }},
};

class PodLife : public ::testing::TestWithParam<Ending> {};

TEST_P(PodLife, IsDecidedTruthfully) {
  World world;
  GetParam().arrange(world);
  const Status status = world.decide().status;
  ASSERT_TRUE(status.ended());
  EXPECT_EQ(to_string(status.reason()), to_string(GetParam().reason));
  EXPECT_EQ(status.run ? status.run->exit_code : std::nullopt, GetParam().exit_code);
  EXPECT_EQ(status.find(ConditionType::ResultsStored)->status, GetParam().stored);
}

INSTANTIATE_TEST_SUITE_P(Decide, PodLife, ::testing::ValuesIn(kEndings),
                         [](const auto& each) { return std::string(each.param.name); });

}  // namespace
}  // namespace sandboxrun::run
