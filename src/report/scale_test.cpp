#include "report/scale.h"

#include <gmock/gmock.h>
#include <rapidcheck.h>

#include <cmath>
#include <vector>

namespace steno::report {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::Pointwise;

TEST(TicksTest, AreRoundNumbersWithinTheRange) {
  EXPECT_THAT(linear_ticks(0, 1, 6), Pointwise(DoubleNear(1e-12), std::vector<double>{0, 0.2, 0.4, 0.6, 0.8, 1.0}));
  EXPECT_THAT(linear_ticks(13.2, 17.9, 6), ElementsAre(14, 15, 16, 17));
  EXPECT_THAT(linear_ticks(-3, 7, 5), ElementsAre(-2, 0, 2, 4, 6));
  EXPECT_THAT(linear_ticks(5, 5, 4), ElementsAre(5));
  EXPECT_THAT(log2_ticks(256, 2048, 8), ElementsAre(256, 512, 1024, 2048));
  EXPECT_THAT(log2_ticks(200, 1100, 8), ElementsAre(256, 512, 1024));
  EXPECT_THAT(log2_ticks(1, 1024, 6), ElementsAre(1, 4, 16, 64, 256, 1024));
  EXPECT_THAT(log10_ticks(0.5, 20, 7),
              Pointwise(DoubleNear(1e-9), std::vector<double>{0.5, 1.0, 2.0, 5.0, 10.0, 20.0}));
  EXPECT_THAT(log10_ticks(1, 1e6, 7), ElementsAre(1, 10, 100, 1000, 10000, 1e5, 1e6));
}

TEST(TicksTest, NeverTooManyNorOutside) {
  const auto holds = [](double a, double b) {
    const double low = std::min(a, b), high = std::max(a, b);
    const std::vector<double> ticks = linear_ticks(low, high, 6);
    RC_ASSERT(!ticks.empty() || high > low);
    RC_ASSERT(ticks.size() <= 6u);
    const double slack = (high - low) * 1e-6 + 1e-12;
    for (const double tick : ticks) RC_ASSERT(tick >= low - slack && tick <= high + slack);
  };
  EXPECT_TRUE(rc::check("linear ticks", [&] {
    holds(*rc::gen::inRange(-100000, 100000) / 97.0, *rc::gen::inRange(-100000, 100000) / 97.0);
  }));
}

TEST(ScaleTest, MapsEndsAndMiddles) {
  const Scale linear(ScaleKind::linear, 0, 10, 100, 0);
  EXPECT_DOUBLE_EQ(linear(0), 100);
  EXPECT_DOUBLE_EQ(linear(2.5), 75);
  const Scale log(ScaleKind::log2, 256, 1024, 0, 100);
  EXPECT_DOUBLE_EQ(log(256), 0);
  EXPECT_DOUBLE_EQ(log(512), 50);
  EXPECT_DOUBLE_EQ(log(4096), 100) << "outside values stay at the border";
}

TEST(ScaleTest, ARangeWithoutExtentIsWidened) {
  EXPECT_DOUBLE_EQ(Scale(ScaleKind::linear, 3, 3, 0, 10)(3), 5);
  EXPECT_DOUBLE_EQ(Scale(ScaleKind::log2, 512, 512, 0, 10)(512), 5);
  EXPECT_TRUE(std::isfinite(Scale(ScaleKind::log10, 0, 0, 0, 10)(1)));
}

TEST(ScaleTest, ANarrowLogarithmicRangeStillHasTicks) {
  EXPECT_THAT(Scale(ScaleKind::log10, 1.71, 1.79, 0, 10).ticks(5),
              Pointwise(DoubleNear(1e-9), std::vector<double>{1.72, 1.74, 1.76, 1.78}));
}

TEST(ScaleTest, WidensToWholeSteps) {
  double low = 13.2, high = 17.9;
  widen_to_ticks(low, high, 5);
  EXPECT_DOUBLE_EQ(low, 13);
  EXPECT_DOUBLE_EQ(high, 18);
}

}  // namespace
}  // namespace steno::report
