#include "report/figures.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "report/cells.h"
#include "report/curves.h"
#include "report/text.h"

namespace steno::report {
namespace {

using Of = std::optional<double> (*)(const Arm&);

struct Against {
  const char *name, *label, *note;
  ScaleKind kind;
  Of x;
  std::string (*format)(double);
};

const Against kBudget = {"budget",
                         "budget (slots per layer)",
                         "",
                         ScaleKind::log2,
                         [](const Arm& arm) { return arm.budget ? std::optional<double>(*arm.budget) : std::nullopt; },
                         [](double x) { return show_number(x); }};
const Against kBytes = {
    "memory",        "memory kept, mean of the items",         "",
    ScaleKind::log2, [](const Arm& arm) { return arm.bytes; }, [](double x) { return show_bytes(x); }};
const Against kTime = {"time",
                       "reading + decoding per item, mean",
                       "The time of a context that several questions share counts for the first of them.",
                       ScaleKind::log10,
                       [](const Arm& arm) { return arm.seconds; },
                       [](double x) { return show_seconds(x); }};

bool is_reference(const Arm& arm) { return !arm.control.empty() || !arm.budget; }

Figure against(const Run& run, const Styles& styles, const std::string& metric, const Against& what) {
  Chart chart;
  chart.x_label = what.label;
  chart.x_kind = what.kind;
  chart.x_format = what.format;
  std::string csv = fmt::format("arm,{},{},low,high,n\n", what.name, csv_field(metric));
  YRange range;
  int64_t without = 0;
  for (const Arm& arm : run.arms) {
    const auto found = arm.metrics.find(metric);
    if (found == arm.metrics.end() || !found->second.mean) continue;
    const Metric& value = found->second;
    range.add(value);
    const std::string words = in_words(arm.id, metric, value);
    const std::optional<double> x = what.x(arm);
    csv += fmt::format("{},{},{},{},{},{}\n", csv_field(arm.id), exact_number(x), exact_number(value.mean),
                       exact_number(value.low), exact_number(value.high), value.n);
    if (is_reference(arm)) {
      chart.references.push_back({arm.id, words, styles.of(arm), *value.mean});
    } else if (x && *x > 0) {
      series_of(chart, arm, styles)
          .points.push_back(
              {*x, *value.mean, value.low, value.high, words + fmt::format("; {} {}", what.name, what.format(*x))});
    } else {
      ++without;
    }
  }
  for (Series& series : chart.series) std::ranges::stable_sort(series.points, {}, &Point::x);
  chart.side_by_side = &what != &kTime;
  if (&what == &kBudget) chart.x_ticks = xs_of(chart);
  range.apply(chart, metric);
  Figure figure{.title = fmt::format("{} against {}", metric, what.name),
                .note = what.note,
                .group = "quality",
                .metric = metric};
  if (without)
    figure.note += fmt::format("{}{} arms have no known {} and are not drawn.", figure.note.empty() ? "" : " ", without,
                               what.name);
  chart.title = run.task + ": " + figure.title;
  figure.picture = std::move(chart);
  figure.csv = std::move(csv);
  return figure;
}

bool worth_drawing(const Figure& figure) {
  const Chart& chart = std::get<Chart>(figure.picture);
  size_t points = 0;
  for (const Series& series : chart.series) points += series.points.size();
  return points > 0 && points + chart.references.size() > 1;
}

}  // namespace

Styles::Styles(const std::vector<Run>& runs) {
  for (const Run& run : runs)
    for (const Arm& arm : run.arms) numbers_.emplace(arm.series(), static_cast<int>(numbers_.size()));
}

std::string headline_of(const Run& run) {
  if (!run.headline.empty()) return run.headline;
  for (const Arm& arm : run.arms)
    if (!arm.metrics.empty()) return arm.metrics.contains("correct") ? "correct" : arm.metrics.begin()->first;
  return "";
}

std::vector<std::string> metric_names(const Run& run) {
  const std::string headline = headline_of(run);
  std::set<std::string> others;
  bool has_headline = false;
  for (const Arm& arm : run.arms)
    for (const auto& [name, metric] : arm.metrics) {
      if (name == headline)
        has_headline = true;
      else
        others.insert(name);
    }
  std::vector<std::string> names;
  if (has_headline) names.push_back(headline);
  names.insert(names.end(), others.begin(), others.end());
  return names;
}

std::vector<Figure> make_figures(const Run& run, const Styles& styles) {
  std::vector<Figure> figures;
  for (const std::string& metric : metric_names(run))
    for (const Against* what : {&kBudget, &kBytes, &kTime})
      if (Figure figure = against(run, styles, metric, *what); worth_drawing(figure))
        figures.push_back(std::move(figure));
  add_position_curves(run, styles, figures);
  add_cell_figures(run, styles, figures);
  return figures;
}

}  // namespace steno::report
