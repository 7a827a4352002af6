// What is drawn of a run: curves of quality against budget, bytes and time, curves along the dimensions of the task's
// cells, heat maps where there are two dimensions, perplexity by position.
#pragma once
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "report/plot.h"
#include "report/result.h"

namespace steno::report {

// Series name -> style, the same over all runs of a page, in the order of first appearance.
class Styles {
 public:
  explicit Styles(const std::vector<Run>& runs);
  int of(const Arm& arm) const { return numbers_.at(arm.series()); }

 private:
  std::map<std::string, int> numbers_;
};

struct Figure {
  std::string title, note;  // note: what a reader has to know of the picture
  std::string group;        // "quality", "position", "cells" or "map": figures of one group stand together
  std::string metric;
  std::variant<Chart, HeatMap> picture;
  std::string csv;  // everything that the picture shows
};

std::vector<Figure> make_figures(const Run& run, const Styles& styles);

// The headline of the summary; of an unfinished run, or where the summary names none, the first metric there is.
std::string headline_of(const Run& run);
// All metrics of the run, the headline first.
std::vector<std::string> metric_names(const Run& run);

}  // namespace steno::report
