#include "cli/progress.h"

#include <gtest/gtest.h>

namespace steno {
namespace {

TEST(Progress, LineHasBarShareRateAndTimeLeft) {
  EXPECT_EQ(progress_line("reading", 2000, 8000, 4.0, 200),
            "reading [#####...............] 25% 2,000 of 8,000 tokens, 500/s, 12 s left");
}

TEST(Progress, NoRateBeforeAnythingWasDone) {
  EXPECT_EQ(progress_line("reading", 0, 8000, 4.0, 200), "reading [....................] 0% 0 of 8,000 tokens");
  EXPECT_EQ(progress_line("reading", 5, 0, 0, 200), "reading [....................] 0% 5 of 0 tokens");
}

TEST(Progress, MoreThanPlannedIsAFullBar) {
  EXPECT_EQ(progress_line("reading", 20, 10, 1.0, 200),
            "reading [####################] 100% 20 of 10 tokens, 20/s, 0.00 s left");
}

TEST(Progress, LineFitsTheTerminal) { EXPECT_EQ(progress_line("reading", 2000, 8000, 4.0, 20).size(), 20u); }

}  // namespace
}  // namespace steno
