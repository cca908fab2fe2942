#include "operator/pod/patch.h"

#include <gtest/gtest.h>

namespace sandboxrun::pod {
namespace {

const TimePoint kAt = *parse_time("2026-05-01T08:00:05.900Z");

TEST(Patch, UngatingNamesThePodThatWasCompared) {
  EXPECT_EQ(ungate_patch("u-1", "17", {}),
            R"({"metadata":{"uid":"u-1","resourceVersion":"17"},"spec":{"schedulingGates":null}})");
}

TEST(Patch, UngatingLeavesTheGatesOfOthers) {
  EXPECT_EQ(ungate_patch("u-1", "17", {"kueue.x-k8s.io/admission"}),
            R"({"metadata":{"uid":"u-1","resourceVersion":"17"},)"
            R"("spec":{"schedulingGates":[{"name":"kueue.x-k8s.io/admission"}]}})");
}

TEST(Patch, StoppingLowersTheDeadlineAndSaysWhyInOneStep) {
  EXPECT_EQ(stop_patch("u-1", run::Reason::Cancelled, kAt),
            R"({"metadata":{"uid":"u-1","annotations":{"sandboxrun.dev/stop":"Cancelled",)"
            R"("sandboxrun.dev/stop-at":"2026-05-01T08:00:05Z"}},)"
            R"("spec":{"activeDeadlineSeconds":1}})");
}

TEST(Patch, ADeletionIsOfOnePodAsItWasSeen) {
  EXPECT_EQ(delete_options("u-1", "17"),
            R"({"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"uid":"u-1",)"
            R"("resourceVersion":"17"},"propagationPolicy":"Background"})");
  EXPECT_EQ(delete_options("u-1", ""),
            R"({"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"uid":"u-1"},)"
            R"("propagationPolicy":"Background"})");
}

}  // namespace
}  // namespace sandboxrun::pod
