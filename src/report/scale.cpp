#include "report/scale.h"

#include <algorithm>
#include <cmath>

namespace steno::report {
namespace {

// The smallest of 1, 2, 5 times a power of ten that is no smaller than `least`.
double nice_step(double least) {
  const double power = std::pow(10.0, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= least * (1 - 1e-9)) return factor * power;
  return 10 * power;
}

std::vector<double> every_kth(std::vector<double> values, int most) {
  const size_t k = (values.size() + static_cast<size_t>(most) - 1) / static_cast<size_t>(most);
  if (k <= 1) return values;
  std::vector<double> kept;
  for (size_t i = 0; i < values.size(); i += k) kept.push_back(values[i]);
  return kept;
}

}  // namespace

std::vector<double> linear_ticks(double low, double high, int most) {
  if (!(high > low)) return {low};
  // `most` ticks span most - 1 steps at best and most + 1 at worst, so the step may have to grow.
  double step = nice_step((high - low) / most);
  std::vector<double> ticks;
  do {
    ticks.clear();
    const double slack = step * 1e-9;
    for (double k = std::ceil((low - slack) / step); k * step <= high + slack; ++k)
      ticks.push_back(k == 0 ? 0.0 : k * step);
    step = nice_step(step * 1.5);
  } while (ticks.size() > static_cast<size_t>(most));
  return ticks;
}

std::vector<double> log2_ticks(double low, double high, int most) {
  std::vector<double> ticks;
  for (double k = std::ceil(std::log2(low) - 1e-9); k <= std::log2(high) + 1e-9; ++k) ticks.push_back(std::exp2(k));
  return every_kth(std::move(ticks), most);
}

std::vector<double> log10_ticks(double low, double high, int most) {
  const auto within = [&](std::initializer_list<double> factors) {
    std::vector<double> ticks;
    for (double k = std::floor(std::log10(low)); k <= std::ceil(std::log10(high)); ++k)
      for (const double factor : factors) {
        const double tick = factor * std::pow(10.0, k);
        if (tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9)) ticks.push_back(tick);
      }
    return ticks;
  };
  for (const auto& factors : {std::initializer_list<double>{1, 2, 5}, std::initializer_list<double>{1, 3}}) {
    std::vector<double> ticks = within(factors);
    if (ticks.size() <= static_cast<size_t>(most)) return ticks;
  }
  return every_kth(within({1}), most);
}

Scale::Scale(ScaleKind kind, double low, double high, double from, double to)
    : kind_(kind), low_(low), high_(high), from_(from), to_(to) {
  if (kind != ScaleKind::linear) {
    if (!(low_ > 0)) low_ = high_ > 0 ? high_ / 2 : 1;
    if (!(high_ > low_)) low_ /= 2, high_ = low_ * 4;
  } else if (!(high_ > low_)) {
    low_ -= 0.5, high_ = low_ + 1;
  }
}

double Scale::transform(double value) const { return kind_ == ScaleKind::linear ? value : std::log2(value); }

double Scale::operator()(double value) const {
  const double low = transform(low_), high = transform(high_);
  return from_ + (transform(std::clamp(value, low_, high_)) - low) / (high - low) * (to_ - from_);
}

std::vector<double> Scale::ticks(int most) const {
  if (kind_ == ScaleKind::linear) return linear_ticks(low_, high_, most);
  std::vector<double> ticks = kind_ == ScaleKind::log2 ? log2_ticks(low_, high_, most) : log10_ticks(low_, high_, most);
  // Within a narrow range hardly a power lies, and a logarithm is nearly straight.
  return ticks.size() < 2 ? linear_ticks(low_, high_, most) : ticks;
}

void widen_to_ticks(double& low, double& high, int most) {
  if (!(high > low)) return;
  const double step = nice_step((high - low) / most);
  low = std::floor(low / step + 1e-9) * step;
  high = std::ceil(high / step - 1e-9) * step;
}

}  // namespace steno::report
