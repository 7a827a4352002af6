#include "eval/prompts/fit.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/random.h"

namespace steno {
namespace {

TEST(FitSize, FindsTheLargestSizeForAnyRateAndGuess) {
  Random random(7);
  for (int i = 0; i < 300; ++i) {
    const int64_t base = static_cast<int64_t>(random.below(50)),
                  target = base + static_cast<int64_t>(random.below(9000));
    const double rate = 0.05 + random.uniform() * 30;
    const auto count = [&](int64_t n) { return base + static_cast<int64_t>(static_cast<double>(n) * rate); };
    const int64_t size = fit_size(count, target, 1 << 30, 0.1 + random.uniform() * 10, "test");
    EXPECT_LE(count(size), target);
    EXPECT_GT(count(size + 1), target);
  }
}

TEST(FitSize, AsksRarely) {
  int asked = 0;
  const auto count = [&](int64_t n) { return ++asked, 40 + n / 4; };
  EXPECT_EQ(fit_size(count, 131072, 1 << 30, 0.5, "test"), 4 * (131072 - 40) + 3);
  EXPECT_LE(asked, 16);
}

TEST(FitSize, StopsAtWhatThereIs) {
  const auto count = [](int64_t n) { return 10 + n; };
  EXPECT_EQ(fit_size(count, 1000, 17, 1, "test"), 17);
  EXPECT_EQ(fit_size(count, 1000, 0, 1, "test"), 0);
  EXPECT_EQ(fit_size(count, 10, 17, 1, "test"), 0);
}

TEST(FitSize, RefusesWhatNeverFits) {
  try {
    fit_size([](int64_t n) { return 64 + n; }, 20, 100, 1, "[ruler] vt at length");
    FAIL();
  } catch (const InputError& error) {
    EXPECT_STREQ(error.what(),
                 "[ruler] vt at length: 20 tokens do not hold even the smallest prompt, which takes 64; give a larger "
                 "length");
  }
}

TEST(UseUp, GoesOnToTheTargetOrTheBest) {
  const auto count = [](int64_t n) { return n < 20 ? 7 : n < 30 ? 8 : n < 33 ? 10 : 9; };
  EXPECT_EQ(use_up(count, 10, 12), 30);
  EXPECT_EQ(use_up(count, 9, 12), 33);  // past a size that is too large
  EXPECT_EQ(use_up(count, 11, 12), 30);
  EXPECT_EQ(use_up(count, 7, 12), 12);
}

}  // namespace
}  // namespace steno
