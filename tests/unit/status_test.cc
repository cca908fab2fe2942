#include "operator/run/status.h"

#include <gtest/gtest.h>

#include "operator/base/yaml_writer.h"
#include "operator/run/text.h"
#include "tests/support/run/world.h"

namespace sandboxrun::run {
namespace {

using testing::at;
using testing::World;

void set(Status& status, ConditionStatus value, std::string_view message, TimePoint now) {
  set_condition(status, ConditionType::Stalled, {value, "Because", message}, now, 3);
}

TEST(Status, AConditionsTimeChangesOnlyWithItsStatus) {
  Status status;
  set(status, ConditionStatus::False, "a", at(1));
  set(status, ConditionStatus::False, "b", at(2));
  EXPECT_EQ(status.find(ConditionType::Stalled)->message, "b");
  EXPECT_EQ(status.find(ConditionType::Stalled)->last_transition, at(1));
  set(status, ConditionStatus::True, "b", at(3));
  EXPECT_EQ(status.find(ConditionType::Stalled)->last_transition, at(3));
}

TEST(Status, ConditionsStandInTheOrderOfTheirType) {
  Status status;
  set(status, ConditionStatus::False, "", at(1));
  set_condition(status, ConditionType::Succeeded, {ConditionStatus::Unknown, "Pending", ""}, at(1),
                1);
  EXPECT_EQ(status.conditions.front().type, ConditionType::Succeeded);
  EXPECT_EQ(status.conditions.back().type, ConditionType::Stalled);
}

TEST(Status, T23_AMessageIsCutAtACharacterAndStaysUtf8) {
  Status status;
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += "\xC3\xA9";  // 40,000 bytes
  set(status, ConditionStatus::True, text, at(1));
  const std::string& message = status.find(ConditionType::Stalled)->message;
  EXPECT_EQ(message.size(), kMaxConditionMessage - 1);  // 32,764 bytes of text and "..."
  EXPECT_TRUE(message.ends_with("\xC3\xA9..."));
}

TEST(Status, T28_QueriesOfUrlsNeverReachAMessage) {
  EXPECT_EQ(clean_text("GET HTTPS://h.example/p?sig=1&x=2: 403, then http://u:p@h/#t.", 1000),
            "GET HTTPS://h.example/p?... 403, then http://...@h/#...");
}

TEST(Status, T23_ControlCharactersAreWrittenOut) {
  EXPECT_EQ(clean_text(std::string_view("a\x00\r\n\t\x7f\xC2\x9B z", 10), 1000),
            "a\\x00\\x0d\\n\\t\\x7f\\x9b z");
}

TEST(Status, CleanTextStaysAsItIs) {
  const std::string once = clean_text("x\x1b https://h/?q \xff", 1000);
  EXPECT_EQ(clean_text(once, 1000), once);
}

TEST(Status, AStatusThatWasNeverWrittenIsPending) {
  EXPECT_EQ(Status().reason(), Reason::Pending);
  EXPECT_FALSE(Status().ended());
}

TEST(Status, IsEncodedWithTheFieldsOfTheCrd) {
  World world;
  const std::string conditions =
      R"("conditions":[)"
      R"({"type":"Succeeded","status":"True","reason":"Completed",)"
      R"("message":"the command ended with exit code 0 and its results are stored",)"
      R"("lastTransitionTime":"2026-05-01T08:01:40Z","observedGeneration":1})";
  const std::string text = encode_status(world.decide().status);
  EXPECT_TRUE(text.starts_with(R"({"observedGeneration":1,)" + conditions)) << text;
  const std::string rest =
      R"("run":{"exitCode":0,"message":"all done","startTime":"2026-05-01T08:00:10Z",)"
      R"("finishTime":"2026-05-01T08:00:20Z"},)"
      R"("environment":{"image":{"reference":"registry.example/base@)" +
      testing::kDigest + R"(","imageID":"registry.example/base@)" + testing::kOtherDigest +
      R"("},"archive":{"digest":")" + testing::kDigest + R"(","bytes":1000,"entries":10}},)" +
      R"("assets":[{"name":"model","digest":")" + testing::kDigest + R"(","bytes":7}],)" +
      R"("results":{"digest":")" + testing::kOtherDigest +
      R"(","bytes":500,"entries":3,"stored":true},"duration":"10s",)" +
      R"("timings":{"waitingSeconds":3,"runSeconds":10,"totalSeconds":100,)" +
      R"("prepareMilliseconds":1200,"collectMilliseconds":800},)" +
      R"("attempts":[{"podName":"weather-1","podUID":"uid-1","nodeName":"node-1",)" +
      R"("reason":"Completed","exitCode":0,"startTime":"2026-05-01T08:00:10Z",)" +
      R"("finishTime":"2026-05-01T08:00:20Z"}]})";
  EXPECT_TRUE(text.ends_with(rest)) << text;
}

TEST(Status, IsReadBackAsItWasWritten) {
  const Status status = World().decide().status;
  const auto node = parse_json(encode_status(status));
  ASSERT_TRUE(node);
  EXPECT_EQ(decode_status(*node), status);
}

TEST(Status, TheDefaultOfTheCrdIsRead) {
  const auto node = parse_json(
      R"({"conditions":[{"type":"Succeeded","status":"Unknown","reason":"Pending","message":"",)"
      R"("lastTransitionTime":"1970-01-01T00:00:00Z"},{"type":"Reconciling","status":"True",)"
      R"("reason":"Pending","message":"","lastTransitionTime":"1970-01-01T00:00:00Z"}]})");
  ASSERT_TRUE(node);
  const auto status = decode_status(*node);
  ASSERT_TRUE(status);
  EXPECT_EQ(status->reason(), Reason::Pending);
  EXPECT_EQ(status->conditions.size(), 2u);
}

TEST(Status, AWrongTypeIsNamedByItsField) {
  const auto node = parse_json(R"({"attempts":[{"podName":7}]})");
  ASSERT_TRUE(node);
  const auto status = decode_status(*node);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind, ErrorKind::InvalidInput);
  EXPECT_TRUE(status.error().message.starts_with("status.attempts[0].podName: expected a string"))
      << status.error().message;
}

TEST(Status, AFailedRunIsStalledAndNoLongerReconciling) {
  World world;
  world.exits(1);
  const Status status = world.decide().status;
  EXPECT_EQ(status.find(ConditionType::Reconciling)->status, ConditionStatus::False);
  EXPECT_EQ(status.find(ConditionType::Stalled)->status, ConditionStatus::True);
  EXPECT_EQ(status.find(ConditionType::Stalled)->reason, "NonZeroExit");
}

TEST(Status, ARunningRunIsReconcilingAndUnknown) {
  World world;
  world.running();
  const Status status = world.decide().status;
  EXPECT_EQ(status.find(ConditionType::Succeeded)->status, ConditionStatus::Unknown);
  EXPECT_EQ(status.find(ConditionType::Reconciling)->status, ConditionStatus::True);
  EXPECT_EQ(status.find(ConditionType::EnvironmentVerified)->status, ConditionStatus::True);
  EXPECT_EQ(status.find(ConditionType::AssetsPlaced)->status, ConditionStatus::True);
  EXPECT_EQ(status.find(ConditionType::ResultsStored)->status, ConditionStatus::Unknown);
}

TEST(Status, ItsYamlIsItsJson) {
  const auto yaml = json_to_yaml(encode_status(World().decide().status));
  ASSERT_TRUE(yaml);
  EXPECT_TRUE(
      yaml->starts_with("observedGeneration: 1\nconditions:\n- type: Succeeded\n"
                        "  status: \"True\"\n  reason: Completed\n"))
      << *yaml;
}

}  // namespace
}  // namespace sandboxrun::run
