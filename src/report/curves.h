// Parts that the figures share: ranges of the vertical axis, points in words.
#pragma once
#include <cmath>
#include <string>
#include <vector>

#include "report/figures.h"

namespace steno::report {

// The series of the arm in the chart, added where it is not there yet.
Series& series_of(Chart& chart, const Arm& arm, const Styles& styles);
// "h2o-512: correct 0.85 [0.79, 0.90], n 100"
std::string in_words(const std::string& who, const std::string& metric, const Metric& value);
// The different x of all points, ascending.
std::vector<double> xs_of(const Chart& chart);

// Collects what has to be visible: shares get an axis from 0 to 1, other values one that begins at 0 or, where they
// differ by more than a factor of 20, a logarithmic one.
class YRange {
 public:
  void add(const Metric& value);
  void apply(Chart& chart, const std::string& metric) const;

 private:
  double low_ = INFINITY, high_ = -INFINITY;
  bool higher_is_better_ = true;
};

// Perplexity along the position, from "by_position" of the items ([[first of the bin, nll, tokens], ...]); for runs
// whose summary does not have it.
void add_position_curves(const Run& run, const Styles& styles, std::vector<Figure>& figures);

}  // namespace steno::report
