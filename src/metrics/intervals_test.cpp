#include "metrics/intervals.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/random.h"

namespace steno {
namespace {

double to_hundredths(double share) { return std::round(share * 100) / 100; }

TEST(Wilson, GivesThePublishedExamples) {
  const struct {
    int64_t successes, trials;
    double low, high;
  } rows[] = {{10, 10, 0.72, 1}, {50, 50, 0.93, 1}, {45, 50, 0.79, 0.96}, {450, 500, 0.87, 0.92}};
  for (const auto& row : rows) {
    const Interval interval = wilson_interval(row.successes, row.trials);
    EXPECT_EQ(to_hundredths(interval.low), row.low) << row.successes << "/" << row.trials;
    EXPECT_EQ(to_hundredths(interval.high), row.high) << row.successes << "/" << row.trials;
  }
}

TEST(Wilson, SolvesItsDefiningEquation) {
  // The bounds are the shares p for which the observed share lies z standard errors away.
  const Interval interval = wilson_interval(7, 23);
  for (const double p : {interval.low, interval.high})
    EXPECT_NEAR(std::abs(7.0 / 23 - p) / std::sqrt(p * (1 - p) / 23), 1.959964, 1e-6);
}

TEST(Wilson, MirrorsAndStaysInRange) {
  for (int64_t n : {1, 3, 20, 999})
    for (int64_t k = 0; k <= n; k += std::max<int64_t>(1, n / 7)) {
      const Interval interval = wilson_interval(k, n), mirrored = wilson_interval(n - k, n);
      EXPECT_GE(interval.low, 0);
      EXPECT_LE(interval.high, 1);
      EXPECT_LE(interval.low, static_cast<double>(k) / static_cast<double>(n));
      EXPECT_GE(interval.high, static_cast<double>(k) / static_cast<double>(n));
      EXPECT_NEAR(interval.low, 1 - mirrored.high, 1e-12);
    }
  EXPECT_EQ(wilson_interval(0, 5).low, 0);
  EXPECT_EQ(wilson_interval(5, 5).high, 1);
}

TEST(Wilson, KnowsNothingWithoutTrials) {
  EXPECT_EQ(wilson_interval(0, 0).low, 0);
  EXPECT_EQ(wilson_interval(0, 0).high, 1);
  EXPECT_THROW(wilson_interval(3, 2), std::invalid_argument);
  EXPECT_THROW(wilson_interval(-1, 2), std::invalid_argument);
}

TEST(Mean, OfNothingIsNoNumber) {
  EXPECT_TRUE(std::isnan(mean({})));
  EXPECT_DOUBLE_EQ(mean(std::vector<double>{1, 2, 6}), 3);
}

TEST(Bootstrap, IsTheSameForTheSameSeed) {
  const std::vector<double> values = {0.1, 0.9, 0.4, 0.7, 0.2, 0.2, 1.0};
  const Interval first = bootstrap_mean(values, {.seed = 5}), again = bootstrap_mean(values, {.seed = 5});
  EXPECT_EQ(first.low, again.low);
  EXPECT_EQ(first.high, again.high);
  const Interval other = bootstrap_mean(values, {.seed = 6});
  EXPECT_TRUE(other.low != first.low || other.high != first.high);
  EXPECT_LT(first.low, mean(values));
  EXPECT_GT(first.high, mean(values));
}

TEST(Bootstrap, ResamplesAnyStatistic) {
  // The quantiles of a statistic that counts how often group 0 was drawn: binomial(4, 1/4), whose 2.5 % and 97.5 %
  // quantiles are 0 and 3.
  const auto zeros = [](std::span<const size_t> drawn) {
    EXPECT_EQ(drawn.size(), 4u);
    return static_cast<double>(std::count(drawn.begin(), drawn.end(), size_t{0}));
  };
  const Interval interval = bootstrap_interval(4, zeros, {.resamples = 4000, .seed = 1});
  EXPECT_EQ(interval.low, 0);
  EXPECT_EQ(interval.high, 3);
}

TEST(Bootstrap, TakesGroupsWhole) {
  // Two groups that differ and do not vary inside: a resample has the mean 0, 1/2 or 1. One by one, eight values cannot
  // reach these ends within 95 %.
  const std::vector<double> values = {0, 0, 0, 0, 1, 1, 1, 1};
  const std::vector<size_t> group_of = {7, 7, 7, 7, 3, 3, 3, 3};
  const Interval grouped = bootstrap_mean(values, group_of);
  EXPECT_EQ(grouped.low, 0);
  EXPECT_EQ(grouped.high, 1);
  const Interval single = bootstrap_mean(values);
  EXPECT_GT(single.low, 0);
  EXPECT_LT(single.high, 1);
}

TEST(Bootstrap, WeighsGroupsByTheirSize) {
  // All resamples hold one group of three and one of one, or one of them twice; the mean over values, not over groups.
  const std::vector<double> values = {1, 1, 1, 0};
  const std::vector<size_t> group_of = {0, 0, 0, 1};
  EXPECT_EQ(bootstrap_mean(values, group_of, {.level = 0.01}).low, 0.75);
}

TEST(Bootstrap, CoversTheTrueMeanAboutAsOftenAsItSays) {
  Random random(11);
  int covered = 0;
  constexpr int kTrials = 300;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<double> values(60);
    for (double& value : values) value = random.uniform();
    const Interval interval = bootstrap_mean(values, {.resamples = 400, .seed = static_cast<uint64_t>(trial)});
    covered += interval.low <= 0.5 && 0.5 <= interval.high;
  }
  // 95 % of 300 is 285 with a standard deviation of 3.8; the bootstrap is a little short of its level at n = 60.
  EXPECT_GE(covered, 270);
  EXPECT_LE(covered, 298);
}

TEST(Bootstrap, SaysWhenThereIsNoInterval) {
  EXPECT_TRUE(std::isnan(bootstrap_mean({}).low));
  EXPECT_TRUE(std::isnan(bootstrap_interval(3, [](auto) { return std::nan(""); }).high));
  EXPECT_THROW(bootstrap_mean(std::vector<double>{1}, std::vector<size_t>{}), std::invalid_argument);
  EXPECT_THROW(bootstrap_mean(std::vector<double>{1}, {.resamples = 0}), std::invalid_argument);
}

}  // namespace
}  // namespace steno
