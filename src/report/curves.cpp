#include "report/curves.h"

#include <algorithm>
#include <map>
#include <set>

#include "report/cells.h"
#include "report/text.h"

namespace steno::report {
namespace {

struct Sum {
  double nll = 0, tokens = 0;
};

std::optional<double> number(const Json& entry, const char* name, size_t index) {
  const Json* found = nullptr;
  if (entry.is_object() && entry.contains(name)) found = &entry[name];
  if (entry.is_array() && index < entry.size()) found = &entry[index];
  return found && found->is_number() ? std::optional(found->get<double>()) : std::nullopt;
}

}  // namespace

Series& series_of(Chart& chart, const Arm& arm, const Styles& styles) {
  const std::string name = arm.series();
  const auto found = std::ranges::find(chart.series, name, &Series::name);
  if (found != chart.series.end()) return *found;
  chart.series.push_back({name, styles.of(arm), {}});
  return chart.series.back();
}

std::string in_words(const std::string& who, const std::string& metric, const Metric& value) {
  std::string words = fmt::format("{}: {} {}", who, metric, show_number(value.mean));
  if (value.low && value.high) words += fmt::format(" [{}, {}]", show_number(value.low), show_number(value.high));
  return words + fmt::format(", n {}", show_count(value.n));
}

std::vector<double> xs_of(const Chart& chart) {
  std::set<double> xs;
  for (const Series& series : chart.series)
    for (const Point& point : series.points) xs.insert(point.x);
  return {xs.begin(), xs.end()};
}

void YRange::add(const Metric& value) {
  for (const auto& y : {value.mean, value.low, value.high})
    if (y && std::isfinite(*y)) low_ = std::min(low_, *y), high_ = std::max(high_, *y);
  higher_is_better_ = value.higher_is_better;
}

void YRange::apply(Chart& chart, const std::string& metric) const {
  chart.y_label = metric + (higher_is_better_ ? " (higher is better)" : " (lower is better)");
  chart.y_format = show_tick;
  if (low_ > high_) return;
  chart.y_low = low_, chart.y_high = high_;
  if (low_ >= 0 && high_ <= 1 && higher_is_better_) {
    chart.y_low = 0, chart.y_high = 1;
  } else if (low_ > 0 && high_ > 20 * low_) {
    chart.y_kind = ScaleKind::log10;
    chart.y_label += ", logarithmic";
  } else {
    if (low_ > 0 && low_ < 0.5 * high_) chart.y_low = 0;
    if (chart.y_low == chart.y_high)
      chart.y_low -= std::abs(low_) * 0.1 + 1e-3, chart.y_high += std::abs(high_) * 0.1 + 1e-3;
    widen_to_ticks(chart.y_low, chart.y_high, 5);
  }
}

void add_position_curves(const Run& run, const Styles& styles, std::vector<Figure>& figures) {
  if (has_dimension(run, "position")) return;  // the summary has them, with intervals
  std::vector<std::map<double, Sum>> sums(run.arms.size());
  int64_t not_understood = 0;
  bool any = false;
  for (const Item& item : run.items) {
    const auto list = item.extra.find("by_position");
    if (list == item.extra.end()) continue;
    for (const Json& entry : *list) {
      const auto first = number(entry, "first", 0), nll = number(entry, "nll", 1), tokens = number(entry, "tokens", 2);
      if (!first || !nll || !tokens) {
        ++not_understood;
        continue;
      }
      Sum& sum = sums[item.arm][*first];
      sum.nll += *nll, sum.tokens += *tokens;
      any = true;
    }
  }
  if (!any) return;
  Chart chart;
  chart.x_label = "position (tokens, start of the bin)";
  chart.x_format = show_tick;
  YRange range;
  std::string csv = "arm,position,perplexity,tokens\n";
  for (size_t i = 0; i < run.arms.size(); ++i) {
    if (sums[i].empty()) continue;
    Series series{run.arms[i].id, styles.of(run.arms[i]), {}};
    for (const auto& [first, sum] : sums[i]) {
      if (!(sum.tokens > 0)) continue;
      const Metric ppl{
          .mean = std::exp(sum.nll / sum.tokens), .n = std::llround(sum.tokens), .higher_is_better = false};
      range.add(ppl);
      series.points.push_back({first,
                               *ppl.mean,
                               {},
                               {},
                               fmt::format("{}: perplexity {} from position {}, {} tokens", run.arms[i].id,
                                           show_number(ppl.mean), show_number(first), show_count(ppl.n))});
      csv +=
          fmt::format("{},{},{},{}\n", csv_field(run.arms[i].id), exact_number(first), exact_number(ppl.mean), ppl.n);
    }
    chart.series.push_back(std::move(series));
  }
  range.apply(chart, "perplexity");
  // Bins double in width as a rule; then a logarithmic axis gives each the same room.
  const std::vector<double> xs = xs_of(chart);
  if (xs.size() > 3 && xs.front() > 0 && xs.back() > 16 * xs.front()) chart.x_kind = ScaleKind::log2;

  // One picture per budget: arms of one series have one colour, so all of them in one would not be told apart.
  std::map<std::optional<int64_t>, Chart> by_budget;
  for (const Series& series : chart.series) {
    const auto arm = std::ranges::find(run.arms, series.name, &Arm::id);
    by_budget.emplace(arm->budget, chart).first->second.series.clear();
  }
  for (const Series& series : chart.series) {
    const auto arm = std::ranges::find(run.arms, series.name, &Arm::id);
    const bool everywhere = !arm->budget || !arm->control.empty();
    for (auto& [budget, part] : by_budget)
      if (everywhere || budget == arm->budget) part.series.push_back(series);
  }
  if (by_budget.size() > 1) by_budget.erase(std::nullopt);
  for (auto& [budget, part] : by_budget) {
    Figure figure{.title = "perplexity by position", .group = "position", .metric = "perplexity"};
    if (budget) figure.title += fmt::format(", budget {}", show_count(*budget));
    figure.note = "Over all scored tokens of a bin; no intervals.";
    if (not_understood)
      figure.note += fmt::format(" {} entries of by_position have another form and are left out.", not_understood);
    part.title = run.task + ": " + figure.title;
    figure.picture = std::move(part);
    figure.csv = csv;
    figures.push_back(std::move(figure));
  }
}

}  // namespace steno::report
