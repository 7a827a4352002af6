#include "metrics/intervals.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <stdexcept>

#include "base/random.h"

namespace steno {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kZ95 = 1.959963984540054;  // 0.975 quantile of the normal distribution

double quantile(const std::vector<double>& sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace

double mean(std::span<const double> values) {
  if (values.empty()) return kNan;
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

Interval wilson_interval(int64_t successes, int64_t trials) {
  if (successes < 0 || successes > trials) throw std::invalid_argument("wilson_interval: successes out of range");
  if (trials == 0) return {0, 1};
  const double n = static_cast<double>(trials), p = static_cast<double>(successes) / n, zz = kZ95 * kZ95;
  const double centre = (p + zz / (2 * n)) / (1 + zz / n);
  const double half = kZ95 * std::sqrt(p * (1 - p) / n + zz / (4 * n * n)) / (1 + zz / n);
  // At the ends the bound is exactly 0 or 1; rounding must not say otherwise.
  return {successes == 0 ? 0 : std::max(0.0, centre - half), successes == trials ? 1 : std::min(1.0, centre + half)};
}

Interval bootstrap_interval(size_t groups, const Statistic& statistic, const BootstrapSettings& settings) {
  if (settings.resamples < 1 || !(settings.level > 0 && settings.level < 1))
    throw std::invalid_argument("bootstrap_interval: needs a resample and a level between 0 and 1");
  if (groups == 0) return {kNan, kNan};
  Random random(settings.seed);
  std::vector<size_t> drawn(groups);
  std::vector<double> values(static_cast<size_t>(settings.resamples));
  for (double& value : values) {
    for (size_t& group : drawn) group = random.below(groups);
    value = statistic(drawn);
    if (std::isnan(value)) return {kNan, kNan};
  }
  std::sort(values.begin(), values.end());
  const double tail = (1 - settings.level) / 2;
  return {quantile(values, tail), quantile(values, 1 - tail)};
}

Interval bootstrap_mean(std::span<const double> values, const BootstrapSettings& settings) {
  std::vector<size_t> own(values.size());
  std::iota(own.begin(), own.end(), size_t{0});
  return bootstrap_mean(values, own, settings);
}

Interval bootstrap_mean(std::span<const double> values, std::span<const size_t> group_of,
                        const BootstrapSettings& settings) {
  if (values.size() != group_of.size()) throw std::invalid_argument("bootstrap_mean: one group per value");
  struct Sum {
    double value = 0, count = 0;
  };
  std::map<size_t, Sum> by_group;
  for (size_t i = 0; i < values.size(); ++i) {
    by_group[group_of[i]].value += values[i];
    by_group[group_of[i]].count += 1;
  }
  std::vector<Sum> sums;
  for (const auto& [group, sum] : by_group) sums.push_back(sum);
  const auto mean_of = [&](std::span<const size_t> drawn) {
    Sum all;
    for (const size_t group : drawn) {
      all.value += sums[group].value;
      all.count += sums[group].count;
    }
    return all.value / all.count;
  };
  return bootstrap_interval(sums.size(), mean_of, settings);
}

}  // namespace steno
