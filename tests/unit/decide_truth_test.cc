#include <gtest/gtest.h>

#include "tests/support/run/world.h"

// S6: Succeeded=True means it. T22, T23: neither exit codes nor forged records choose an end.
namespace sandboxrun::run {
namespace {

using protocol::Step;
using testing::at;
using testing::World;

Reason reason_of(const World& world) {
  return world.decide().status.reason();
}

TEST(Decide, S6_ASuccessIsOneWhenEverythingIsProven) {
  const Status status = World().decide().status;
  EXPECT_TRUE(status.succeeded());
  EXPECT_EQ(status.run->exit_code, 0);
  EXPECT_EQ(status.archive->digest, testing::kDigest);
  EXPECT_EQ(status.assets[0].digest, testing::kDigest);
  EXPECT_TRUE(status.results->stored);
  EXPECT_EQ(status.duration, "10s");
}

TEST(Decide, S6_ExitCode0WithoutAGuardRecordIsNoSuccess) {
  World world;
  world.run().termination_message.clear();
  EXPECT_EQ(reason_of(world), Reason::GuardFailed);
}

TEST(Decide, S6_ExitCode0WithAnUnreadableRecordIsNoSuccess) {
  World world;
  world.run().termination_message = "{\"v\":1,";
  EXPECT_EQ(reason_of(world), Reason::GuardFailed);
}

TEST(Decide, S6_ARecordOfSuccessDoesNotMakeOneOfANonZeroExitCode) {
  World world;
  world.run().exit_code = 1;
  world.run().runtime_reason = "Error";
  EXPECT_EQ(reason_of(world), Reason::GuardFailed);
  EXPECT_EQ(world.decide().status.run->exit_code, 1);
}

TEST(Decide, S6_ExitCode0InTheSecondOfAStopIsNoSuccess) {
  World world;
  world.stopped(Reason::Cancelled, 20);
  EXPECT_EQ(reason_of(world), Reason::Cancelled);
}

TEST(Decide, S6_AStopAskedForInALaterSecondChangesNothing) {
  World world;
  world.stopped(Reason::Cancelled, 21);
  EXPECT_EQ(reason_of(world), Reason::Completed);
}

TEST(Decide, S6_TimesFinerThanASecondProveTheirOrder) {
  World world;
  world.run().finish = at(20.25);
  world.stopped(Reason::Cancelled, 20.5);
  EXPECT_EQ(reason_of(world), Reason::Completed);
  world.stopped(Reason::Cancelled, 20.25);
  EXPECT_EQ(reason_of(world), Reason::Cancelled);
}

TEST(Decide, S6_AnInterruptionOfUnknownTimeCountsAsBeforeTheEnd) {
  World world;
  world.interrupted(InterruptionKind::Disrupted, std::nullopt);
  EXPECT_EQ(reason_of(world), Reason::Disrupted);
}

TEST(Decide, S6_AnEndOfUnknownTimeIsNotBeforeAStop) {
  World world;
  world.run().finish.reset();
  world.stopped(Reason::Cancelled, 50);
  EXPECT_EQ(reason_of(world), Reason::Cancelled);
}

TEST(Decide, S6_ThePhaseOfThePodDecidesNothing) {
  World world;
  world.pod().over_reason = "Succeeded";
  world.exits(3);
  EXPECT_EQ(reason_of(world), Reason::NonZeroExit);
  world.exits(0);
  world.pod().over_reason = "DeadlineExceeded";
  EXPECT_EQ(reason_of(world), Reason::Completed);
}

TEST(Decide, S6_TheEnvironmentInTheReportMustBeTheOneOfThePlan) {
  World world;
  world.plan.archive->digest = testing::kOtherDigest;
  const Status status = world.decide().status;
  EXPECT_EQ(status.reason(), Reason::EnvironmentDigestMismatch);
  EXPECT_EQ(
      status.find(ConditionType::Succeeded)->message,
      "environment.archive: expected " + testing::kOtherDigest + ", found " + testing::kDigest);
  EXPECT_EQ(status.find(ConditionType::EnvironmentVerified)->status, ConditionStatus::False);
}

TEST(Decide, S6_AReportThatLacksAnAssetIsNoSuccess) {
  World world;
  world.plan.assets.push_back(world.plan.assets[0]);
  EXPECT_EQ(reason_of(world), Reason::AgentReportInvalid);
}

TEST(Decide, S6_ARunThatPrepareWasNotSeenForIsNoSuccess) {
  World world;
  world.pod().prepare = {};
  EXPECT_EQ(reason_of(world), Reason::AgentReportInvalid);
}

TEST(Decide, S6_AnUnreadableReportOfPrepareStopsTheRunThatItLetStart) {
  World world;
  world.running();
  world.prepare().termination_message = "ok!";
  const Decision decision = world.step();
  EXPECT_EQ(decision.actions, std::vector<Action>{(Stop{Reason::AgentReportInvalid, at(15)})});
}

TEST(Decide, S6_ResultsThatTheCollectorDoesNotCallStoredAreNoSuccess) {
  World world;
  protocol::CollectReport report;
  report.digest = testing::kDigest;
  world.collect().termination_message = protocol::encode(report);
  EXPECT_EQ(reason_of(world), Reason::CollectorFailed);
}

TEST(Decide, S6_AnUnreadableReportOfTheCollectorIsNoSuccess) {
  World world;
  world.collect().termination_message = "stored, believe me";
  EXPECT_EQ(reason_of(world), Reason::AgentReportInvalid);
}

TEST(Decide, S6_SkippedResultsAreASuccessThatSaysSo) {
  World world;
  world.plan.results->upload.reset();
  world.pod().collect = {};
  const Status status = world.decide().status;
  EXPECT_TRUE(status.succeeded());
  EXPECT_EQ(status.find(ConditionType::ResultsStored)->reason, "Skipped");
  EXPECT_EQ(status.find(ConditionType::ResultsStored)->status, ConditionStatus::False);
}

TEST(Decide, S6_LocalResultsMustBeCollectedThoughThePlanUploadsNothing) {
  World world;
  world.plan.results->upload.reset();
  world.pod().collects = true;
  world.collect() = testing::ended(1, 3, 25, "", "Error");
  EXPECT_EQ(reason_of(world), Reason::CollectorFailed);
}

TEST(Decide, T36_TheExitCodeIsKeptWhenTheUploadFails) {
  World world;
  world.collect() =
      testing::ended(1, 3, 25, testing::failed_collect_report(Step::Upload, ErrorKind::Timeout));
  const Status status = world.decide().status;
  EXPECT_EQ(status.reason(), Reason::ResultsUploadFailed);
  EXPECT_EQ(status.run->exit_code, 0);
  EXPECT_EQ(status.find(ConditionType::ResultsStored)->reason, "ResultsUploadFailed");
}

TEST(Decide, T36_AFailedUploadDoesNotHideTheCommandsOwnFailure) {
  World world;
  world.exits(7);
  world.collect() =
      testing::ended(1, 3, 25, testing::failed_collect_report(Step::Upload, ErrorKind::Transport));
  const Status status = world.decide().status;
  EXPECT_EQ(status.reason(), Reason::NonZeroExit);
  EXPECT_EQ(status.run->exit_code, 7);
  EXPECT_EQ(status.find(ConditionType::ResultsStored)->status, ConditionStatus::False);
  EXPECT_EQ(status.find(ConditionType::ResultsStored)->reason, "ResultsUploadFailed");
}

// Each code that means something to us, returned by the program itself.
class ForgedExitCode : public ::testing::TestWithParam<int> {};

TEST_P(ForgedExitCode, T22_IsTheUsersOwn) {
  World world;
  world.exits(GetParam());
  const Status status = world.decide().status;
  EXPECT_EQ(to_string(status.reason()), "NonZeroExit");
  EXPECT_EQ(status.run->exit_code, GetParam());
}

INSTANTIATE_TEST_SUITE_P(Decide, ForgedExitCode,
                         ::testing::Values(123, 124, 125, 126, 127, 128, 137, 139, 143, 255));

TEST(Decide, T22_ExitCode124WithoutARecordIsNoDeadline) {
  World world;
  world.run() = testing::ended(124, 10, 20, "", "Error");
  EXPECT_EQ(reason_of(world), Reason::GuardFailed);
}

TEST(Decide, T22_ExitCode137WithoutOomIsNoMemoryLimit) {
  World world;
  world.run() = testing::ended(137, 10, 20, "", "Error");
  EXPECT_EQ(reason_of(world), Reason::GuardFailed);
}

TEST(Decide, T22_AnOomThatTheLauncherCountedIsOne) {
  World world;
  world.pod().run.oom = true;
  EXPECT_EQ(reason_of(world), Reason::OOMKilled);
}

TEST(Decide, T23_ARecordWithAnotherTokenCountsAsNone) {
  World world;
  world.run().termination_message = testing::write({.token = "dead"});
  const Status status = world.decide().status;
  EXPECT_EQ(status.reason(), Reason::GuardFailed);
  EXPECT_EQ(status.run->message, "");
}

TEST(Decide, T23_ARecordWithoutATokenNeverMatches) {
  World world;
  world.pod().token.clear();
  world.run().termination_message = testing::write({.token = ""});
  EXPECT_EQ(reason_of(world), Reason::GuardFailed);
}

TEST(Decide, T23_TheUsersTextIsEscapedAndItsUrlsLoseTheirQuery) {
  World world;
  world.run().termination_message = testing::write(
      {.message = "\x1b[2Jsee https://u:p@store.example/a?X-Amz-Signature=abc\nnext"});
  EXPECT_EQ(world.decide().status.run->message,
            "\\x1b[2Jsee https://...@store.example/a?...\\nnext");
}

TEST(Decide, T23_TextOfTheRuntimeIsCleanedToo) {
  World world;
  world.run() = testing::ended(128, 0, 20, "\x1b]0;x\x07 \xff", "StartError");
  const std::string message = world.decide().status.find(ConditionType::Succeeded)->message;
  EXPECT_EQ(message, "the runtime could not start the sandbox: \\x1b]0;x\\x07 \xEF\xBF\xBD");
}

}  // namespace
}  // namespace sandboxrun::run
