// Charts and heat maps as SVG text. Colours come by classes (page/plot.css), so that one picture serves both themes;
// where the caller asks for a file of its own, the style sheet and a background are put into it.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "report/scale.h"

namespace steno::report {

using Format = std::function<std::string(double)>;

struct Point {
  double x = 0, y = 0;
  std::optional<double> low, high;  // interval of y
  std::string label;                // the point in words, for tooltips and screen readers
};

struct Series {
  std::string name;
  int style = 0;  // colour, marker and dashes; the same number looks the same in every chart
  std::vector<Point> points;
};

// A horizontal line right through the chart.
struct Reference {
  std::string name, label;
  int style = 0;
  double y = 0;
};

struct Chart {
  std::string title, x_label, y_label;
  ScaleKind x_kind = ScaleKind::linear, y_kind = ScaleKind::linear;
  double y_low = 0, y_high = 1;
  Format x_format, y_format;
  bool side_by_side = false;    // points of different series at one x are moved a little apart
  std::vector<double> x_ticks;  // empty: chosen by the scale
  std::vector<Series> series;
  std::vector<Reference> references;
};

struct HeatCell {
  std::optional<double> value;
  std::string text, label;  // what stands in the cell; the cell in words
};

struct HeatMap {
  std::string title, row_label, column_label;
  std::vector<std::string> rows, columns;
  std::vector<std::vector<HeatCell>> cells;  // [row][column]
  double low = 0, high = 1;                  // values of the first and last colour
};

constexpr int kStyles = 8;        // colours; with the markers and dashes, 16 series can be told apart
constexpr int kHeatColours = 11;  // q0 to q10

enum class Use { in_page, file };
std::string chart_svg(const Chart& chart, Use use);
std::string heat_map_svg(const HeatMap& map, Use use);
// The sign of a series in a legend, about 28 x 12 px.
std::string legend_sign_svg(int style, bool reference);

}  // namespace steno::report
