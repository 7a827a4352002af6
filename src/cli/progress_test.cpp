#include "cli/progress.h"

#include <gtest/gtest.h>

namespace steno {
namespace {

TEST(Progress, LineHasBarShareRateAndTimeLeft) {
  EXPECT_EQ(progress_line("reading", 2000, 8000, 4.0, 200),
            "reading [#####...............] 25% 2,000/8,000, 500 tokens/s, 12 s left");
}

TEST(Progress, NoRateBeforeAnythingWasDone) {
  EXPECT_EQ(progress_line("reading", 0, 8000, 4.0, 200), "reading [....................] 0% 0/8,000");
  EXPECT_EQ(progress_line("reading", 5, 0, 0, 200), "reading [....................] 0% 5/0");
}

TEST(Progress, MoreThanPlannedIsAFullBar) {
  EXPECT_EQ(progress_line("reading", 20, 10, 1.0, 200),
            "reading [####################] 100% 20/10, 20 tokens/s, 0.00 s left");
}

TEST(Progress, TheBarGivesWayInANarrowTerminal) {
  EXPECT_EQ(progress_line("reading", 2000, 8000, 4.0, 60),
            "reading [##.......] 25% 2,000/8,000, 500 tokens/s, 12 s left");
  EXPECT_EQ(progress_line("reading", 2000, 8000, 4.0, 20), "reading [#....] 25% ");
}

}  // namespace
}  // namespace steno
