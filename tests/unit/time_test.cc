#include "operator/base/time.h"

#include <gtest/gtest.h>

namespace sandboxrun {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

TEST(Time, IsWrittenAsKubernetesWritesIt) {
  EXPECT_EQ(format_time(TimePoint(Milliseconds(0))), "1970-01-01T00:00:00Z");
  EXPECT_EQ(format_time(TimePoint(Milliseconds(1'777'623'330'999))), "2026-05-01T08:15:30Z");
}

TEST(Time, IsReadWithAndWithoutAFraction) {
  EXPECT_EQ(parse_time("2026-05-01T08:15:30Z"), TimePoint(Milliseconds(1'777'623'330'000)));
  EXPECT_EQ(parse_time("2026-05-01T08:15:30.123456Z"), TimePoint(Milliseconds(1'777'623'330'123)));
  EXPECT_EQ(parse_time("1970-01-01T00:00:00Z"), TimePoint(Milliseconds(0)));
}

TEST(Time, OtherTextIsNoTime) {
  for (const char* text :
       {"", "2026-05-01", "2026-05-01T08:15:30", "2026-05-01T08:15:30+02:00",
        "2026-02-30T00:00:00Z", "2026-05-01T24:00:00Z", "2026-05-01T08:60:00Z",
        "2026-05-01T08:15:30.Z", "2026-05-01T08:15:30Z ", "+026-05-01T08:15:30Z"}) {
    EXPECT_EQ(parse_time(text), std::nullopt) << text;
  }
}

TEST(Time, DurationsAreWrittenAsKubectlDoes) {
  EXPECT_EQ(format_duration(Milliseconds(999)), "0s");
  EXPECT_EQ(format_duration(seconds(-5)), "0s");
  EXPECT_EQ(format_duration(seconds(4)), "4s");
  EXPECT_EQ(format_duration(minutes(2) + seconds(31)), "2m31s");
  EXPECT_EQ(format_duration(hours(1) + seconds(2)), "1h2s");
  EXPECT_EQ(format_duration(hours(76)), "3d4h");
}

}  // namespace
}  // namespace sandboxrun
