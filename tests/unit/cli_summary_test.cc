#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/base/document.h"
#include "operator/cli/pretty_json.h"
#include "operator/cli/summary.h"

namespace sandboxrun::cli {
namespace {

using run::ConditionStatus;
using run::ConditionType;
using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::StartsWith;

launch::Outcome ended(bool started, int code, ConditionStatus succeeded, std::string_view reason,
                      std::string_view message) {
  launch::Outcome outcome{.started = started, .exit_code = code};
  run::set_condition(outcome.status, ConditionType::Succeeded, {succeeded, reason, message},
                     TimePoint{}, 1);
  return outcome;
}

TEST(Summary, OfASuccessIsOneLine) {
  const Summary summary =
      summarize(ended(true, 0, ConditionStatus::True, "Completed", "done"), milliseconds(4500));
  EXPECT_TRUE(summary.good);
  EXPECT_EQ(summary.outcome, "Succeeded");
  EXPECT_EQ(summary.text, "exit 0   total 4.5 s");
  EXPECT_EQ(summary.why, "");
}

TEST(Summary, OfAFailureSaysWhyAndWhatToDo) {
  const Summary summary =
      summarize(ended(true, 124, ConditionStatus::False, "DeadlineExceeded", "took over 3 s"),
                milliseconds(3000));
  EXPECT_FALSE(summary.good);
  EXPECT_EQ(summary.outcome, "Failed");
  EXPECT_EQ(summary.text, "DeadlineExceeded   exit 124   total 3.0 s");
  EXPECT_EQ(summary.why,
            "took over 3 s\n" + std::string(run::info(run::Reason::DeadlineExceeded).advice));
}

TEST(Summary, OfARunThatNeverStartedShowsTheConditionThatFailed) {
  launch::Outcome outcome =
      ended(false, 125, ConditionStatus::False, "EnvironmentDigestMismatch", "");
  run::set_condition(
      outcome.status, ConditionType::EnvironmentVerified,
      {ConditionStatus::False, "DigestMismatch", "expected sha256:9c, found sha256:77"},
      TimePoint{}, 1);
  const Summary summary = summarize(outcome, milliseconds(100));
  EXPECT_EQ(summary.text, "EnvironmentDigestMismatch   not started   total 0.1 s");
  EXPECT_THAT(summary.why, StartsWith("expected sha256:9c, found sha256:77\n"));
}

TEST(ExitCode, W11_IsTheProgramsUnchanged) {
  EXPECT_EQ(exit_code(ended(true, 0, ConditionStatus::True, "Completed", "")), 0);
  EXPECT_EQ(exit_code(ended(true, 7, ConditionStatus::False, "NonZeroExit", "")), 7);
  EXPECT_EQ(exit_code(ended(true, 143, ConditionStatus::False, "Cancelled", "")), 143);
}

TEST(ExitCode, IsNeverZeroForARunThatFailed) {
  EXPECT_EQ(exit_code(ended(true, 0, ConditionStatus::False, "ResultsUploadFailed", "")), 125);
  EXPECT_EQ(exit_code(ended(false, 0, ConditionStatus::False, "ImagePullFailed", "")), 125);
}

TEST(StatusDocument, IsTheWholeObjectInYamlAndJson) {
  const launch::Outcome outcome = ended(true, 0, ConditionStatus::True, "Completed", "done");
  const std::string yaml = status_document("weather", outcome.status, Format::Yaml);
  EXPECT_THAT(yaml, StartsWith("apiVersion: sandboxrun.dev/v1alpha1\n"
                               "kind: SandboxRun\n"
                               "metadata:\n"
                               "  name: weather\n"
                               "status:\n"));
  EXPECT_THAT(yaml, HasSubstr("reason: Completed\n"));
  const auto json = parse_json(status_document("weather", outcome.status, Format::Json));
  ASSERT_TRUE(json.has_value());
  EXPECT_EQ(json->find("metadata")->find("name")->text, "weather");
  EXPECT_EQ(json->find("status")->find("conditions")->items.at(0).find("reason")->text,
            "Completed");
}

TEST(PrettyJson, IsIndentedAndReadsBackTheSame) {
  const auto node = parse_json(R"({"a":[1,2.5,{"b":"x\ny"}],"c":{},"d":[],"e":null,"f":true})");
  ASSERT_TRUE(node.has_value());
  EXPECT_EQ(pretty_json(*node), R"({
  "a": [
    1,
    2.5,
    {
      "b": "x\ny"
    }
  ],
  "c": {},
  "d": [],
  "e": null,
  "f": true
}
)");
}

}  // namespace
}  // namespace sandboxrun::cli
