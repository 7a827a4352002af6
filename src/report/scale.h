// Axes: where values lie, and where ticks stand.
#pragma once
#include <string>
#include <vector>

namespace steno::report {

enum class ScaleKind { linear, log2, log10 };

// Multiples of 1, 2 or 5 times a power of ten within [low, high]; at most `most` of them (`most` >= 2).
std::vector<double> linear_ticks(double low, double high, int most);
// Powers of two within [low, high], every k-th one where there are more than `most`.
std::vector<double> log2_ticks(double low, double high, int most);
// 1, 2 and 5 times powers of ten, or powers of ten only, or every k-th of those.
std::vector<double> log10_ticks(double low, double high, int most);

// Maps [low, high] onto [from, to], pixels. A range without extent, and one that a logarithm does not take, is widened.
class Scale {
 public:
  Scale(ScaleKind kind, double low, double high, double from, double to);
  double operator()(double value) const;
  std::vector<double> ticks(int most) const;
  double low() const { return low_; }
  double high() const { return high_; }
  ScaleKind kind() const { return kind_; }

 private:
  double transform(double value) const;
  ScaleKind kind_;
  double low_, high_, from_, to_;
};

// Widens [low, high] to whole steps of linear_ticks.
void widen_to_ticks(double& low, double& high, int most);

}  // namespace steno::report
