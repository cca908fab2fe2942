#include <gtest/gtest.h>

#include "tests/support/run/world.h"

// What is done, in which order, and that it is done once.
namespace sandboxrun::run {
namespace {

using std::chrono::seconds;
using testing::at;
using testing::World;

std::vector<Action> only(Action action) {
  return {std::move(action)};
}

TEST(Decide, CreatesTheFirstAttempt) {
  World world;
  world.not_created();
  EXPECT_EQ(world.decide().actions, only(CreateAttempt{1}));
}

TEST(Decide, AppliesPoliciesBeforeItCreates) {
  World world;
  world.not_created();
  world.seen.policies_applied = false;
  EXPECT_EQ(world.decide().actions, only(ApplyPolicies{}));
}

TEST(Decide, EgressWaitsForTheProbe) {
  World world;
  world.not_created();
  world.plan.network.mode = NetworkMode::Egress;
  EXPECT_TRUE(world.decide().actions.empty());
  world.seen.isolation = Isolation::Enforced;
  EXPECT_EQ(world.decide().actions, only(CreateAttempt{1}));
  world.seen.isolation = Isolation::Waived;
  EXPECT_EQ(world.decide().actions, only(CreateAttempt{1}));
}

TEST(Decide, S5_TheAttemptIsRecordedBeforeItIsUngated) {
  World world;
  world.not_scheduled();
  world.pod().gate = Gate::Ours;
  const Decision first = world.step();
  EXPECT_TRUE(first.actions.empty());
  EXPECT_EQ(first.status.attempts[0].pod_uid, "uid-1");
  EXPECT_EQ(first.requeue_after, Milliseconds(0));
  EXPECT_EQ(world.step().actions, only(Ungate{}));
}

TEST(Decide, S5_AnAttemptThatIsNotInViewIsLookedForNotCreatedAgain) {
  World world;
  world.seen.attempt = AttemptFacts{};
  const Decision decision = world.decide();
  EXPECT_EQ(decision.actions, only(LookLive{}));
  EXPECT_EQ(decision.status.reason(), Reason::Running);
}

TEST(Decide, S5_AnUnrecordedAttemptThatIsAbsentIsSafeToCreate) {
  World world;
  world.not_created();
  world.step();
  EXPECT_EQ(world.step().actions, only(CreateAttempt{1}));
}

TEST(Decide, S5_AnotherPodUnderTheSameNameIsNotOurs) {
  World world;
  world.pod().uid = "uid-2";
  const Status status = world.decide().status;
  EXPECT_EQ(status.reason(), Reason::PodLost);
  EXPECT_FALSE(status.run && status.run->exit_code);
  EXPECT_EQ(status.attempts[0].pod_uid, "uid-1");
}

TEST(Decide, S5_ALostAttemptIsNotRetried) {
  World world;
  world.plan.backoff_limit = 10;
  world.seen.attempt = AttemptFacts{};
  world.pod().presence = Presence::Absent;
  EXPECT_EQ(world.decide().status.reason(), Reason::PodLost);
  EXPECT_TRUE(world.decide().status.ended());
}

TEST(Decide, S5_APodThatWasEndedInTheNameOfADeletedNodeIsNotRetried) {
  World world;
  world.plan.backoff_limit = 10;
  world.running();
  world.pod().over = true;
  world.interrupted(InterruptionKind::NodeGone, 14);
  const Decision decision = world.decide();
  EXPECT_EQ(decision.status.reason(), Reason::NodeLost);
  EXPECT_TRUE(decision.status.ended());
}

TEST(Decide, ARefusedCreationIsTriedAgainAfterAsLongAsTheRunHasWaited) {
  World world;
  world.not_created();
  struct Case {
    double refused;
    double next;
  };
  for (const Case& c : {Case{0.2, 1.2}, Case{1.5, 3}, Case{8, 16}, Case{30, 60}, Case{600, 630}}) {
    world.pod().refusal = Refusal{RefusalKind::Quota, "exceeded quota", at(c.refused)};
    world.now = at(c.refused);
    const Decision decision = world.decide();
    EXPECT_TRUE(decision.actions.empty());
    EXPECT_EQ(decision.requeue_after, at(c.next) - at(c.refused)) << c.refused;
    world.now = at(c.next);
    EXPECT_EQ(world.decide().actions, only(CreateAttempt{1}));
  }
}

TEST(Decide, SuspendHoldsBackTheNextAttemptOnly) {
  World world;
  world.running();
  world.seen.wishes.suspend = true;
  const Decision decision = world.decide();
  EXPECT_TRUE(decision.actions.empty());
  EXPECT_EQ(decision.status.find(ConditionType::Suspended)->status, ConditionStatus::False);
  EXPECT_EQ(decision.status.find(ConditionType::Suspended)->reason, "AlreadyStarted");
}

TEST(Decide, TheStartDeadlineBeginsAnewAtResume) {
  World world;
  world.not_created();
  world.seen.wishes.suspend = true;
  world.step();
  EXPECT_EQ(world.previous.find(ConditionType::Suspended)->status, ConditionStatus::True);
  world.now = at(100'000);
  world.seen.wishes.suspend = false;
  EXPECT_EQ(world.step().actions, only(CreateAttempt{1}));
  world.now = at(100'000 + 3599);
  EXPECT_FALSE(world.decide().status.ended());
  world.now = at(100'000 + 3600);
  EXPECT_EQ(world.decide().status.reason(), Reason::StartDeadlineExceeded);
}

TEST(Decide, CancelStopsAPodOnANodeAndDeletesOneThatIsNot) {
  World world;
  world.running();
  world.seen.wishes.cancel = true;
  EXPECT_EQ(world.decide().actions, only(Stop{Reason::Cancelled, at(15)}));
  world.not_scheduled();
  EXPECT_EQ(world.decide().actions, only(DeleteAttempt{Reason::Cancelled}));
}

TEST(Decide, CancelIsLatchedOnceSeen) {
  World world;
  world.running();
  world.seen.wishes.cancel = true;
  world.step();
  EXPECT_EQ(world.previous.attempts[0].reason, Reason::Cancelled);
  EXPECT_EQ(world.previous.find(ConditionType::Reconciling)->reason, "Cancelled");
  world.seen.wishes.cancel = false;
  EXPECT_EQ(world.step().actions, only(Stop{Reason::Cancelled, at(15)}));
  world.pod().presence = Presence::Absent;
  EXPECT_EQ(world.decide().status.reason(), Reason::Cancelled);
}

TEST(Decide, CancelAfterTheCommandsEndComesTooLate) {
  World world;
  world.collecting();
  world.seen.wishes.cancel = true;
  EXPECT_TRUE(world.step().actions.empty());
  world.pod().over = true;
  world.pod().collect.state = testing::ended(0, 3, 25, testing::good_collect_report());
  EXPECT_EQ(world.decide().status.reason(), Reason::Completed);
}

TEST(Decide, AStopThatWasSeenOnTheObjectIsNotAskedForAgain) {
  World world;
  world.running();
  world.seen.wishes.cancel = true;
  world.step();
  world.stopped(Reason::Cancelled, 15);
  EXPECT_TRUE(world.step().actions.empty());
}

TEST(Decide, TheDeadlineIsKeptBehindTheGuard) {
  World world;
  world.running();
  const TimePoint bound = at(10 + 600 + kGraceSeconds + 60);
  EXPECT_EQ(world.decide().requeue_after, bound - at(15));
  world.now = bound;
  EXPECT_EQ(world.decide().actions, only(Stop{Reason::DeadlineExceeded, bound}));
}

TEST(Decide, ACollectorThatHangsIsStopped) {
  World world;
  world.collecting();
  const TimePoint bound = at(20 + 300 + kGraceSeconds + 60);
  world.now = bound;
  EXPECT_EQ(world.step().actions, only(Stop{Reason::CollectorFailed, bound}));
  world.pod().over = true;
  world.pod().collect.state = testing::ended(137, 3, 400, "", "Error");
  EXPECT_EQ(world.decide().status.reason(), Reason::CollectorFailed);
}

TEST(Decide, ACommandThatFailedKeepsItsReasonWhenTheCollectorHangs) {
  World world;
  world.exits(7);
  world.collecting();
  world.now = at(20 + 300 + kGraceSeconds + 60);
  world.step();
  world.pod().over = true;
  world.pod().collect.state = testing::ended(137, 3, 400, "", "Error");
  EXPECT_EQ(world.decide().status.reason(), Reason::NonZeroExit);
}

const std::string& message_of(const Status& status) {
  return status.find(ConditionType::Succeeded)->message;
}

TEST(Decide, WhileItWaitsForARetryItGoesOnTellingWhy) {
  World world;
  world.only_a_command();
  world.plan.backoff_limit = 1;
  world.exits(9);
  const std::string told = message_of(world.step().status);
  EXPECT_NE(told.find("exit code 9"), std::string::npos) << told;
  world.seen.attempt = AttemptFacts{};
  world.pod().number = 2;
  world.pod().presence = Presence::Absent;
  world.now = at(25);
  EXPECT_EQ(message_of(world.step().status), told);
}

TEST(Decide, AForeignGateIsNamed) {
  World world;
  world.not_scheduled();
  world.pod().gate = Gate::Foreign;
  world.pod().foreign_gates = "example.com/queue";
  EXPECT_EQ(message_of(world.decide().status),
            "waiting for somebody else to remove the scheduling gate example.com/queue");
}

TEST(Decide, AnEvictionIsCalledOneBeforeTheClustersWordsFollow) {
  World world;
  world.interrupted(InterruptionKind::Evicted, 15);
  world.pod().interruptions.back().message = "Eviction API: evicting";
  EXPECT_EQ(message_of(world.decide().status), "the pod was evicted: Eviction API: evicting");
}

TEST(Decide, RetriesAfterTenSecondsDoublingUpToSixMinutes) {
  World world;
  world.only_a_command();
  world.plan.backoff_limit = 10;
  world.exits(1);
  double finish = 20;
  const double delays[] = {10, 20, 40, 80, 160, 320, 360, 360, 360, 360};
  for (int attempt = 1; attempt <= 10; ++attempt) {
    const Decision ended = world.step();
    ASSERT_EQ(ended.status.reason(), Reason::Retrying) << attempt;
    ASSERT_EQ(attempt_to_observe(world.previous), attempt + 1);
    const AttemptFacts last = world.seen.attempt;
    world.seen.attempt = AttemptFacts{};
    world.pod().number = attempt + 1;
    world.pod().presence = Presence::Absent;
    const double due = finish + delays[attempt - 1];
    world.now = at(due) - Milliseconds(1);
    EXPECT_TRUE(world.step().actions.empty()) << attempt;
    world.now = at(due);
    EXPECT_EQ(world.step().actions, only(CreateAttempt{attempt + 1}));
    world.seen.attempt = last;
    world.pod().number = attempt + 1;
    world.pod().uid = "uid-" + std::to_string(attempt + 1);
    finish = due + 5;
    world.run().start = at(due);
    world.run().finish = at(finish);
  }
  const Decision last = world.step();
  EXPECT_EQ(last.status.reason(), Reason::NonZeroExit);
  EXPECT_TRUE(last.status.ended());
  EXPECT_EQ(last.status.attempts.size(), 11u);
}

TEST(Decide, NothingIsRetriedAfterResultsWereStored) {
  World world;
  world.plan.backoff_limit = 3;
  world.exits(1);
  EXPECT_EQ(world.decide().status.reason(), Reason::NonZeroExit);
  EXPECT_TRUE(world.decide().status.ended());
}

TEST(Decide, NothingIsRetriedAfterACancel) {
  World world;
  world.only_a_command();
  world.plan.backoff_limit = 3;
  world.exits(1);
  world.seen.wishes.cancel = true;
  EXPECT_TRUE(world.decide().status.ended());
}

TEST(Decide, ANewAttemptForgetsWhatTheLastOneLeft) {
  World world;
  world.only_a_command();
  world.plan.backoff_limit = 1;
  world.exits(1);
  world.step();
  world.pod().number = 2;
  world.pod().uid = "uid-2";
  world.pod().over = false;
  world.pod().run.state = Waiting{"PodInitializing", ""};
  world.now = at(31);
  const Status status = world.step().status;
  EXPECT_EQ(status.reason(), Reason::Preparing);
  EXPECT_FALSE(status.run);
  EXPECT_EQ(status.attempts.size(), 2u);
  EXPECT_EQ(status.attempts[0].exit_code, 1);
}

TEST(Decide, AnEndedRunIsDeletedWhenItsTimeIsOver) {
  World world;
  world.seen.wishes.ttl_seconds_after_finished = 60;
  EXPECT_EQ(world.step().requeue_after, seconds(60));
  world.now = at(130);
  EXPECT_EQ(world.step().requeue_after, seconds(30));
  world.now = at(160);
  EXPECT_EQ(world.step().actions, only(DeleteRun{}));
}

TEST(Decide, AnEndedRunNeverChangesAgainButForTheObservedGeneration) {
  World world;
  world.step();
  const Status ended = world.previous;
  world.exits(1);
  world.seen.wishes.cancel = true;
  world.seen.wishes.generation = 2;
  world.now = at(1000);
  Status again = world.step().status;
  EXPECT_EQ(again.observed_generation, 2);
  again.observed_generation = ended.observed_generation;
  EXPECT_EQ(again, ended);
}

TEST(Decide, ADeletedRunIsLeftToTheGarbageCollector) {
  World world;
  world.not_created();
  world.seen.wishes.deleted = true;
  EXPECT_TRUE(world.decide().actions.empty());
}

TEST(Decide, ALeftOverGatedPodOfAnEndedRunIsDeleted) {
  World world;
  world.not_created();
  world.seen.wishes.cancel = true;
  world.step();
  World late;
  late.not_scheduled();
  late.pod().gate = Gate::Ours;
  late.previous = world.previous;
  EXPECT_EQ(late.decide().actions, only(DeleteAttempt{Reason::Cancelled}));
}

TEST(Decide, ImagePullsGetFiveMinutesToRecover) {
  World world;
  world.preparing();
  world.pod().prepare.state = Waiting{"ErrImagePull", "503"};
  world.now = at(2 + 299);
  const Decision waiting = world.decide();
  EXPECT_TRUE(waiting.actions.empty());
  EXPECT_EQ(waiting.requeue_after, seconds(1));
  EXPECT_EQ(waiting.status.find(ConditionType::Succeeded)->message, "ErrImagePull: 503");
  world.now = at(2 + 300);
  EXPECT_EQ(world.decide().actions, only(Stop{Reason::ImagePullFailed, world.now}));
}

TEST(Decide, StepsTowardsTheStartAreWrittenOnlyWhenTheyLast) {
  World world;
  world.preparing();
  world.pod().prepare.state = Waiting{"PodInitializing", ""};
  world.now = at(2.5);
  EXPECT_EQ(world.step().status.reason(), Reason::Preparing);
  const Status told = world.previous;
  world.pod().prepare.state = Started{at(3)};
  world.now = at(3.2);
  const Decision passing = world.step();
  EXPECT_EQ(passing.status, told);
  EXPECT_EQ(passing.requeue_after, std::chrono::milliseconds(4800));
  world.now = at(8);
  EXPECT_EQ(world.step().status.find(ConditionType::Succeeded)->message,
            "environment and assets are fetched, verified and placed");
}

TEST(Decide, ALoneCommandGoesFromPendingToRunningIfItStartsSoon) {
  World world;
  world.only_a_command();
  world.not_scheduled();
  world.step();
  ASSERT_EQ(world.previous.reason(), Reason::Pending);
  world.pod().node = "node-1";
  world.pod().scheduled = at(2);
  world.pod().run.state = Waiting{"ContainerCreating", ""};
  world.now = at(3);
  EXPECT_EQ(world.decide().status.reason(), Reason::Pending);
  world.now = at(7);
  EXPECT_EQ(world.decide().status.reason(), Reason::Preparing);
}

TEST(Decide, WithNothingToCollectTheMomentBeforeThePodsOwnEndIsNotWritten) {
  World world;
  world.only_a_command();
  world.pod().over = false;
  world.now = at(21);
  const Decision passing = world.decide();
  EXPECT_EQ(passing.status.reason(), Reason::Running);
  EXPECT_FALSE(passing.status.run->exit_code);
  EXPECT_EQ(passing.requeue_after, seconds(4));
  world.now = at(25);
  EXPECT_EQ(world.decide().status.reason(), Reason::Collecting);
  EXPECT_EQ(world.decide().status.run->exit_code, 0);
}

// A run on one machine has no gate, no node and no scheduler.
TEST(Decide, S8_ALocalRunFits) {
  World world;
  world.not_created();
  EXPECT_EQ(world.step().actions, only(CreateAttempt{1}));
  world.pod() = AttemptFacts{};
  world.pod().presence = Presence::Present;
  world.pod().name = "weather";
  world.pod().uid = "local-1";
  world.pod().token = testing::kToken;
  world.pod().collects = true;
  world.pod().prepare.state = Started{at(1.2)};
  world.now = at(1.3);
  EXPECT_EQ(world.step().status.reason(), Reason::Preparing);
  world.pod().prepare.state = testing::ended(0, 1.2, 1.9, testing::good_prepare_report());
  world.pod().run.state = Started{at(2)};
  EXPECT_EQ(world.step().status.reason(), Reason::Running);
  world.pod().run.state = testing::ended(0, 2, 2.4, testing::write({}));
  world.pod().run.milliseconds = 400;
  world.pod().collect.state = Started{at(2.4)};
  EXPECT_EQ(world.step().status.reason(), Reason::Collecting);
  world.pod().collect.state = testing::ended(0, 2.4, 2.5, testing::good_collect_report());
  world.pod().over = true;
  world.now = at(2.6);
  const Status status = world.step().status;
  EXPECT_TRUE(status.succeeded());
  EXPECT_EQ(status.timings.run_milliseconds, 400);
  EXPECT_EQ(status.timings.prepare_milliseconds, 1200);
  EXPECT_EQ(status.duration, "0s");
}

}  // namespace
}  // namespace sandboxrun::run
