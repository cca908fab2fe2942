#include <gtest/gtest.h>

#include "operator/cli/progress.h"
#include "operator/cli/text.h"

namespace sandboxrun::cli {
namespace {

using launch::Stage;
using std::chrono::milliseconds;

TEST(LiveLine, HasBarAmountRateAndElapsedTime) {
  const StageState state{.stage = Stage::Environment,
                         .done = 24'100'000,
                         .total = 48'200'000,
                         .unit = "bytes",
                         .counting = milliseconds(2000),
                         .elapsed = milliseconds(2100)};
  EXPECT_EQ(live_line("weather", state, 100),
            "weather  environment  [##########..........] 24.1 MB of 48.2 MB   12.1 MB/s   2.1 s");
}

TEST(LiveLine, CountsWhatIsNotBytesWithoutARate) {
  const StageState state{.stage = Stage::Assets,
                         .done = 1204,
                         .unit = "entries",
                         .counting = milliseconds(2000),
                         .elapsed = milliseconds(2100)};
  EXPECT_EQ(live_line("w", state, 100), "w  assets       1,204 entries   2.1 s");
}

TEST(LiveLine, ShowsTheCommandWhileThereIsNothingToCount) {
  const StageState state{
      .stage = Stage::Running, .detail = "python3 plot.py", .elapsed = milliseconds(3400)};
  EXPECT_EQ(live_line("weather", state, 100), "weather  running      python3 plot.py   3.4 s");
}

TEST(LiveLine, NeverExceedsTheColumnsAndKeepsTheTime) {
  const StageState state{.stage = Stage::Running,
                         .detail = "a very long command line, with äöü in it, and more",
                         .elapsed = milliseconds(3400)};
  for (std::size_t columns = 20; columns < 90; ++columns) {
    const std::string line = live_line("weather", state, columns);
    EXPECT_LE(display_width(line), columns) << line;
    EXPECT_TRUE(line.ends_with("   3.4 s")) << line;
  }
}

TEST(LiveLine, SurvivesCountsThatLie) {
  const StageState state{.stage = Stage::Results, .done = 90, .total = 45, .unit = "bytes"};
  EXPECT_EQ(live_line("w", state, 100),
            "w  results      [####################] 90 B of 45 B   0.0 s");
}

TEST(FinishedLine, HasTheTimeOnTheRightEdge) {
  const std::string line = finished_line("weather", "assets", "2 placed", milliseconds(100), 60);
  EXPECT_EQ(line, "weather  assets       2 placed                         0.1 s");
  EXPECT_EQ(line.size(), 60U);
}

TEST(FinishedLine, NeverCutsText) {
  EXPECT_EQ(finished_line("weather", "assets", "a text that is too long", milliseconds(100), 30),
            "weather  assets       a text that is too long  0.1 s");
}

}  // namespace
}  // namespace sandboxrun::cli
