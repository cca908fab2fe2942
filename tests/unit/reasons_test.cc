#include "operator/run/reasons.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

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
