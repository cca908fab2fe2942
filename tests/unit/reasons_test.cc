#include "operator/run/reasons.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

namespace sandboxrun::run {
namespace {

std::string reference_page() {
  std::ifstream file(SANDBOXRUN_SOURCE_DIR "/docs/reference/reasons.md");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string row_of(const ReasonInfo& info) {
  const std::string_view use = info.use == ReasonUse::Stage ? "stage"
                               : info.use == ReasonUse::End ? "end"
                                                            : "stage, end";
  std::ostringstream row;
  row << "| `" << info.name << "` | " << use << " | " << (info.retryable ? "yes" : "no") << " | "
      << info.meaning << " | " << info.advice << " |";
  return row.str();
}

TEST(Reasons, TheReferencePageHasExactlyTheRowsOfTheTable) {
  std::string expected;
  for (const ReasonInfo& info : all_reasons()) expected += row_of(info) + "\n";
  std::string found;
  std::istringstream page(reference_page());
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with("| `")) found += line + "\n";
  }
  EXPECT_EQ(found, expected);
}

// The expectations of the cluster's tests: "False NonZeroExit" of a condition, "Running" of a
// stage.
std::string cluster_tests() {
  std::ostringstream text;
  for (const auto& entry :
       std::filesystem::directory_iterator(SANDBOXRUN_SOURCE_DIR "/tests/cluster")) {
    if (entry.path().extension() == ".cc") text << std::ifstream(entry.path()).rdbuf();
  }
  return text.str();
}

TEST(Reasons, EachIsMadeToHappenOnARealClusterAndExpectedByName) {
  // Which node verifies signatures is the administrator's doing; the kubelet's word for it is read
  // in decide_test.cc.
  const std::set<Reason> elsewhere = {Reason::SignatureInvalid};
  const std::string tests = cluster_tests();
  for (const ReasonInfo& info : all_reasons()) {
    bool expected = false;
    for (const char* before : {"\"", "\"True ", "\"False ", "\"Unknown "}) {
      expected = expected || tests.contains(before + std::string(info.name) + "\"");
    }
    EXPECT_EQ(expected, !elsewhere.contains(info.reason)) << info.name;
  }
}

TEST(Reasons, EveryNameIsReadBack) {
  std::set<std::string_view> names;
  for (const ReasonInfo& info : all_reasons()) {
    EXPECT_EQ(parse_reason(info.name), info.reason);
    EXPECT_EQ(to_string(info.reason), info.name);
    names.insert(info.name);
  }
  EXPECT_EQ(names.size(), all_reasons().size());
}

TEST(Reasons, OtherNamesAreNone) {
  EXPECT_EQ(parse_reason("completed"), std::nullopt);
  EXPECT_EQ(parse_reason(""), std::nullopt);
}

TEST(Reasons, ExactlyTheseAreRetried) {
  std::set<std::string_view> retried;
  for (const ReasonInfo& info : all_reasons()) {
    if (is_retryable(info.reason)) retried.insert(info.name);
  }
  EXPECT_EQ(retried, (std::set<std::string_view>{"NonZeroExit", "Signaled", "OOMKilled", "Evicted",
                                                 "Preempted", "Disrupted", "NodeRejected",
                                                 "EnvironmentFetchFailed", "AssetFetchFailed"}));
}

TEST(Reasons, ExactlyTheseAreStages) {
  std::set<std::string_view> stages;
  for (const ReasonInfo& info : all_reasons()) {
    if (info.use != ReasonUse::End) stages.insert(info.name);
    EXPECT_EQ(is_terminal(info.reason), info.use != ReasonUse::Stage);
  }
  EXPECT_EQ(stages, (std::set<std::string_view>{"Pending", "Suspended", "PodRefused",
                                                "Unschedulable", "SchedulingGated", "Preparing",
                                                "Running", "Collecting", "Retrying", "NodeLost"}));
}

}  // namespace
}  // namespace sandboxrun::run
