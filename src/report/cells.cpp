#include "report/cells.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "report/curves.h"
#include "report/text.h"

namespace steno::report {
namespace {

std::optional<double> as_number(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

bool are_numbers(const std::vector<std::string>& values) {
  return std::ranges::all_of(values, [](const std::string& value) { return as_number(value).has_value(); });
}

std::string get(const CellKey& cell, const std::string& dimension) {
  const auto found = cell.find(dimension);
  return found == cell.end() ? "" : found->second;
}

std::string shown_value(const std::string& text) {
  const auto number = as_number(text);
  return number ? show_number(number) : text;
}

// Cells of one arm that share a coordinate. A single cell keeps its interval; of several, the mean of the means is
// what the protocol asks for, and it has none.
Metric pooled(const std::vector<const Metric*>& metrics) {
  if (metrics.size() == 1) return *metrics.front();
  Metric mean{.mean = 0, .higher_is_better = metrics.front()->higher_is_better};
  for (const Metric* metric : metrics)
    *mean.mean += *metric->mean / static_cast<double>(metrics.size()), mean.n += metric->n;
  return mean;
}

std::vector<const Metric*> at(const Arm& arm, const std::string& metric, const std::string& dimension,
                              const std::string& value) {
  std::vector<const Metric*> found;
  for (const CellResult& cell : arm.cells) {
    const auto entry = cell.metrics.find(metric);
    if (get(cell.cell, dimension) == value && entry != cell.metrics.end() && entry->second.mean)
      found.push_back(&entry->second);
  }
  return found;
}

// Dimensions of perplexity that follow the text (src/eval/tasks/ppl.h).
bool along_the_text(const std::string& dimension) {
  static const std::set<std::string> all = {"position", "utterance", "session", "tokens read"};
  return all.contains(dimension);
}

// One chart per budget, each with the arms that have no budget besides.
void add_curves(const Run& run, const Styles& styles, const std::string& metric, const std::string& dimension,
                std::vector<Figure>& figures) {
  const std::vector<std::string> values = values_of(run, dimension);
  std::vector<double> xs;
  for (const std::string& value : values) xs.push_back(*as_number(value));
  std::set<std::optional<int64_t>> budgets;
  for (const Arm& arm : run.arms)
    for (const CellResult& cell : arm.cells)
      if (cell.cell.contains(dimension) && cell.metrics.contains(metric)) budgets.insert(arm.budget);
  if (budgets.size() > 1) budgets.erase(std::nullopt);

  for (const auto& budget : budgets) {
    Chart chart;
    chart.x_label = dimension;
    chart.x_format = show_tick;
    chart.x_ticks = xs.size() <= 12 ? xs : std::vector<double>();
    if (xs.front() > 0 && xs.back() >= 4 * xs.front()) chart.x_kind = ScaleKind::log2;
    YRange range;
    std::string csv = fmt::format("arm,{},{},low,high,n\n", csv_field(dimension), csv_field(metric));
    for (const Arm& arm : run.arms) {
      if (arm.budget && arm.budget != budget) continue;
      Series series{arm.id, styles.of(arm), {}};
      for (size_t i = 0; i < xs.size(); ++i) {
        const auto metrics = at(arm, metric, dimension, values[i]);
        if (metrics.empty()) continue;
        const Metric value = pooled(metrics);
        range.add(value);
        series.points.push_back(
            {xs[i], *value.mean, value.low, value.high,
             in_words(arm.id, metric, value) + fmt::format("; {} {}", dimension, show_number(xs[i]))});
        csv += fmt::format("{},{},{},{},{},{}\n", csv_field(arm.id), values[i], exact_number(value.mean),
                           exact_number(value.low), exact_number(value.high), value.n);
      }
      if (!series.points.empty()) chart.series.push_back(std::move(series));
    }
    if (chart.series.empty()) continue;
    range.apply(chart, metric);
    Figure figure{.title = fmt::format("{} by {}", metric, dimension),
                  .group = along_the_text(dimension) ? "position" : "cells",
                  .metric = metric};
    if (budget) figure.title += fmt::format(", budget {}", show_count(*budget));
    chart.title = run.task + ": " + figure.title;
    figure.picture = std::move(chart);
    figure.csv = std::move(csv);
    figures.push_back(std::move(figure));
  }
}

// Colours of one metric mean the same in all maps of the run.
std::pair<double, double> colour_range(const Run& run, const std::string& metric) {
  double low = INFINITY, high = -INFINITY;
  for (const Arm& arm : run.arms)
    for (const CellResult& cell : arm.cells)
      if (const auto found = cell.metrics.find(metric); found != cell.metrics.end() && found->second.mean)
        low = std::min(low, *found->second.mean), high = std::max(high, *found->second.mean);
  return low >= 0 && high <= 1 ? std::pair(0.0, 1.0) : std::pair(low, high);
}

struct Slice {
  std::string row, column;
  CellKey others;  // the dimensions beyond two, each at one value
};

HeatCell heat_cell(const std::string& place, const std::string& metric, const Metric& value) {
  const double mean = *value.mean;
  const std::string text =
      mean == 0 || mean == 1 || std::abs(mean) >= 10 ? show_number(mean) : fmt::format("{:.2f}", mean);
  return {mean, text, in_words(place, metric, value)};
}

bool is_empty(const HeatMap& map) {
  return std::ranges::all_of(map.cells, [](const auto& row) {
    return std::ranges::none_of(row, [](const HeatCell& cell) { return cell.value.has_value(); });
  });
}

HeatMap heat_map(const Run& run, const Arm& arm, const std::string& metric, const Slice& slice, std::string& csv) {
  HeatMap map{.row_label = slice.row, .column_label = slice.column};
  std::tie(map.low, map.high) = colour_range(run, metric);
  const std::vector<std::string> rows = values_of(run, slice.row), columns = values_of(run, slice.column);
  for (const std::string& row : rows) map.rows.push_back(shown_value(row));
  for (const std::string& column : columns) map.columns.push_back(shown_value(column));
  csv = fmt::format("{},{},{},low,high,n\n", csv_field(slice.row), csv_field(slice.column), csv_field(metric));
  for (const std::string& row : rows) {
    auto& cells = map.cells.emplace_back();
    for (const std::string& column : columns) {
      const std::string place =
          fmt::format("{} {}, {} {}", slice.row, shown_value(row), slice.column, shown_value(column));
      HeatCell shown{.text = "–", .label = place + ": nothing measured"};
      for (const CellResult& cell : arm.cells) {
        if (get(cell.cell, slice.row) != row || get(cell.cell, slice.column) != column) continue;
        if (!std::ranges::all_of(slice.others,
                                 [&](const auto& other) { return get(cell.cell, other.first) == other.second; }))
          continue;
        const auto found = cell.metrics.find(metric);
        if (found == cell.metrics.end() || !found->second.mean) continue;
        const Metric& value = found->second;
        shown = heat_cell(place, metric, value);
        csv += fmt::format("{},{},{},{},{},{}\n", csv_field(row), csv_field(column), exact_number(value.mean),
                           exact_number(value.low), exact_number(value.high), value.n);
      }
      cells.push_back(std::move(shown));
    }
  }
  return map;
}

// Arms in rows, the values of a dimension that are no numbers in columns.
void add_arms_map(const Run& run, const std::string& metric, const std::string& dimension,
                  std::vector<Figure>& figures) {
  HeatMap map{
      .title = fmt::format("{}: {} by {}", run.task, metric, dimension), .row_label = "arm", .column_label = dimension};
  std::tie(map.low, map.high) = colour_range(run, metric);
  map.columns = values_of(run, dimension);
  std::string csv = fmt::format("arm,{},{},low,high,n\n", csv_field(dimension), csv_field(metric));
  for (const Arm& arm : run.arms) {
    std::vector<HeatCell> cells;
    for (const std::string& value : map.columns) {
      const auto metrics = at(arm, metric, dimension, value);
      const std::string place = fmt::format("{}, {} {}", arm.id, dimension, value);
      if (metrics.empty()) {
        cells.push_back({.text = "–", .label = place + ": nothing measured"});
        continue;
      }
      const Metric mean = pooled(metrics);
      cells.push_back(heat_cell(place, metric, mean));
      csv += fmt::format("{},{},{},{},{},{}\n", csv_field(arm.id), csv_field(value), exact_number(mean.mean),
                         exact_number(mean.low), exact_number(mean.high), mean.n);
    }
    map.rows.push_back(arm.id);
    map.cells.push_back(std::move(cells));
  }
  if (is_empty(map)) return;
  figures.push_back({.title = fmt::format("{} by {}", metric, dimension),
                     .group = "map",
                     .metric = metric,
                     .picture = std::move(map),
                     .csv = std::move(csv)});
}

std::vector<CellKey> products(const Run& run, const std::vector<std::string>& dimensions) {
  std::vector<CellKey> all = {{}};
  for (const std::string& dimension : dimensions) {
    std::vector<CellKey> next;
    for (const CellKey& key : all)
      for (const std::string& value : values_of(run, dimension)) next.push_back(key), next.back()[dimension] = value;
    all = std::move(next);
  }
  return all;
}

void add_heat_maps(const Run& run, const std::string& metric, std::vector<std::string> names,
                   std::vector<Figure>& figures) {
  Slice slice;
  slice.column = names.back(), names.pop_back();
  slice.row = names.back(), names.pop_back();
  for (const CellKey& others : products(run, names)) {
    slice.others = others;
    for (const Arm& arm : run.arms) {
      Figure figure{.title = arm.id, .group = "map", .metric = metric};
      if (!others.empty()) figure.title += ", " + cell_text(others);
      HeatMap map = heat_map(run, arm, metric, slice, figure.csv);
      if (is_empty(map)) continue;
      map.title = fmt::format("{}: {}, {}", run.task, metric, figure.title);
      figure.picture = std::move(map);
      figures.push_back(std::move(figure));
    }
  }
}

}  // namespace

std::vector<std::string> values_of(const Run& run, const std::string& dimension) {
  std::vector<std::string> values;
  bool numbers = true;
  for (const Arm& arm : run.arms)
    for (const CellResult& cell : arm.cells) {
      const auto found = cell.cell.find(dimension);
      if (found == cell.cell.end() || std::ranges::count(values, found->second)) continue;
      values.push_back(found->second);
      numbers &= as_number(found->second).has_value();
    }
  if (numbers) std::ranges::sort(values, {}, [](const std::string& text) { return *as_number(text); });
  return values;
}

std::vector<Grid> grids(const Run& run) {
  std::set<Grid> all;
  for (const Arm& arm : run.arms)
    for (const CellResult& cell : arm.cells) {
      Grid grid;
      for (const auto& [name, value] : cell.cell) grid.push_back(name);
      all.insert(std::move(grid));
    }
  std::set<Grid> varying;
  for (Grid grid : all) {
    std::erase_if(grid, [&](const std::string& name) { return values_of(run, name).size() < 2; });
    std::ranges::stable_sort(grid, {}, [](const std::string& name) {
      return name == "length" ? 2 : name == "depth" ? 1 : 0;
    });
    if (!grid.empty()) varying.insert(std::move(grid));
  }
  return {varying.begin(), varying.end()};
}

bool has_dimension(const Run& run, const std::string& dimension) { return !values_of(run, dimension).empty(); }

void add_cell_figures(const Run& run, const Styles& styles, std::vector<Figure>& figures) {
  for (const std::string& metric : metric_names(run)) {
    std::set<std::string> drawn;
    for (const Grid& grid : grids(run)) {
      for (auto name = grid.rbegin(); name != grid.rend(); ++name) {
        if (!drawn.insert(*name).second) continue;
        if (are_numbers(values_of(run, *name)))
          add_curves(run, styles, metric, *name, figures);
        else
          add_arms_map(run, metric, *name, figures);
      }
      if (grid.size() > 1) add_heat_maps(run, metric, grid, figures);
    }
  }
}

}  // namespace steno::report
