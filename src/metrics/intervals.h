// Means with 95 % intervals: Wilson for accuracies, percentile bootstrap over groups for everything else.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace steno {

struct Interval {
  double low = 0, high = 0;
};

// NaN for no values: there is no mean, and a 0 would read as a result.
double mean(std::span<const double> values);

// 95 % Wilson score interval of `successes` out of `trials` (Wilson 1927), as shares within [0, 1]. No trials: [0, 1].
// For single outcomes of right or wrong only; an item's partial credit needs the bootstrap.
Interval wilson_interval(int64_t successes, int64_t trials);

struct BootstrapSettings {
  int resamples = 1000;
  uint64_t seed = 0;
  double level = 0.95;
};

// Percentile bootstrap (Efron 1979). Draws `groups` group numbers with replacement, asks `statistic` for its value on
// them, and returns the quantiles of these values (linear between order statistics). The group is what is independent:
// a dialogue, not one of its utterances. A corpus metric is resampled by adding up the sufficient statistics of the
// groups drawn (BleuStats, NllSum). Same settings, same interval, on any platform. NaN on both ends without groups or
// when the statistic is NaN for a resample.
using Statistic = std::function<double(std::span<const size_t> groups)>;
Interval bootstrap_interval(size_t groups, const Statistic& statistic, const BootstrapSettings& settings = {});

// Interval of the mean of `values`, resampled by group: value i belongs to group_of[i] (any numbering). With one
// argument each value is its own group. Throws std::invalid_argument when the two lists differ in length.
Interval bootstrap_mean(std::span<const double> values, const BootstrapSettings& settings = {});
Interval bootstrap_mean(std::span<const double> values, std::span<const size_t> group_of,
                        const BootstrapSettings& settings = {});

}  // namespace steno
