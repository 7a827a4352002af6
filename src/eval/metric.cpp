#include "eval/metric.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

namespace steno {
namespace {

bool all_right_or_wrong(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [](double v) { return v == 0 || v == 1; });
}

const char* kind_name(IntervalKind kind) {
  switch (kind) {
    case IntervalKind::none:
      return "none";
    case IntervalKind::wilson:
      return "wilson";
    case IntervalKind::bootstrap:
      return "bootstrap";
  }
  return "";
}

// One group says nothing about how groups differ: a bootstrap of it would look like certainty.
Metric bootstrapped(double value, Interval interval, size_t groups, size_t n, bool higher_is_better) {
  if (groups < 2) return {value, value, value, static_cast<int64_t>(n), IntervalKind::none, higher_is_better};
  return {value, interval.low, interval.high, static_cast<int64_t>(n), IntervalKind::bootstrap, higher_is_better};
}

}  // namespace

Metric mean_metric(const std::vector<double>& values, bool higher_is_better) {
  if (!all_right_or_wrong(values))
    return bootstrapped(mean(values), bootstrap_mean(values), values.size(), values.size(), higher_is_better);
  const auto n = static_cast<int64_t>(values.size());
  const Interval interval = wilson_interval(std::count(values.begin(), values.end(), 1.0), n);
  return {mean(values), interval.low, interval.high, n, IntervalKind::wilson, higher_is_better};
}

Metric mean_metric(const std::vector<double>& values, const std::vector<size_t>& groups, bool higher_is_better) {
  const size_t count = std::set<size_t>(groups.begin(), groups.end()).size();
  if (count == groups.size()) return mean_metric(values, higher_is_better);
  return bootstrapped(mean(values), bootstrap_mean(values, groups), count, values.size(), higher_is_better);
}

Metric corpus_metric(size_t groups, const Statistic& statistic, bool higher_is_better) {
  std::vector<size_t> all(groups);
  std::iota(all.begin(), all.end(), size_t{0});
  return bootstrapped(statistic(all), bootstrap_interval(groups, statistic), groups, groups, higher_is_better);
}

std::vector<size_t> line_clusters(const Lines& lines) {
  std::map<std::string, size_t> numbers;
  std::vector<size_t> clusters;
  for (const Json* line : lines) {
    const std::string& name =
        (line->contains("cluster") ? line->at("cluster") : line->at("item")).get_ref<const std::string&>();
    clusters.push_back(numbers.emplace(name, numbers.size()).first->second);
  }
  return clusters;
}

Metrics score_metrics(const Lines& lines, const std::vector<std::string>& lower_is_better) {
  std::map<std::string, std::pair<std::vector<double>, std::vector<size_t>>> columns;  // values and their clusters
  const std::vector<size_t> clusters = line_clusters(lines);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (!lines[i]->contains("scores")) continue;
    for (const auto& [name, value] : lines[i]->at("scores").items()) {
      if (value.is_null()) continue;  // not defined for this item (NaN is written as null)
      columns[name].first.push_back(value.get<double>());
      columns[name].second.push_back(clusters[i]);
    }
  }
  Metrics metrics;
  for (const auto& [name, column] : columns) {
    const bool less = std::find(lower_is_better.begin(), lower_is_better.end(), name) != lower_is_better.end();
    metrics[name] = mean_metric(column.first, column.second, !less);
  }
  return metrics;
}

Json metric_json(const Metrics& metrics) {
  Json json = Json::object();
  for (const auto& [name, m] : metrics)
    json[name] = {{"mean", m.mean},
                  {"low", m.low},
                  {"high", m.high},
                  {"n", m.n},
                  {"interval", kind_name(m.interval)},
                  {"higher_is_better", m.higher_is_better}};
  return json;
}

}  // namespace steno
