#include <algorithm>
#include <cmath>
#include <map>

#include "eval/runner.h"

namespace steno {
namespace {

constexpr const char* kMemoryScore = "memory_score";

bool was_skipped(const Json& line) { return line.contains("skipped"); }

Lines scored(const Lines& lines) {
  Lines kept;
  for (const Json* line : lines)
    if (!was_skipped(*line)) kept.push_back(line);
  return kept;
}

// A number somewhere in a line, or `otherwise`.
double number(const Json& line, const char* object, const char* name, double otherwise) {
  const auto found = line.find(object);
  if (found == line.end() || !found->contains(name) || !found->at(name).is_number()) return otherwise;
  return found->at(name).get<double>();
}

// Mean of a number of the accounting over the lines that have it; null without any.
Json mean_accounting(const Lines& lines, const char* name) {
  double sum = 0;
  int64_t count = 0;
  for (const Json* line : lines) {
    const double value = number(*line, "accounting", name, NAN);
    if (std::isnan(value)) continue;
    sum += value;
    ++count;
  }
  return count > 0 ? Json(sum / static_cast<double>(count)) : Json();
}

// Tokens per second over all lines; null where nothing was timed.
Json rate(const Lines& lines, const char* tokens, const char* seconds) {
  double n = 0, s = 0;
  for (const Json* line : lines) {
    n += number(*line, "time", tokens, 0);
    s += number(*line, "time", seconds, 0);
  }
  return n > 0 && s > 0 ? Json(n / s) : Json();
}

std::map<std::string, double> scores_by_item(const Lines& lines, const std::string& name) {
  std::map<std::string, double> scores;
  for (const Json* line : lines)
    if (const double score = number(*line, "scores", name.c_str(), NAN); !std::isnan(score))
      scores[line->at("item").get<std::string>()] = score;
  return scores;
}

// Of the items that all three have a score for.
std::optional<Metric> memory_score(const Lines& lines, const Lines& closed, const Lines& full,
                                   const std::string& name) {
  const auto closed_scores = scores_by_item(closed, name), full_scores = scores_by_item(full, name);
  const std::vector<size_t> all_clusters = line_clusters(lines);
  struct Sums {
    double own = 0, closed = 0, full = 0;
  };
  std::map<size_t, Sums> by_cluster;
  int64_t n = 0;
  for (size_t i = 0; i < lines.size(); ++i) {
    const auto item = lines[i]->at("item").get<std::string>();
    const double own = number(*lines[i], "scores", name.c_str(), NAN);
    if (std::isnan(own) || !closed_scores.contains(item) || !full_scores.contains(item)) continue;
    Sums& sums = by_cluster[all_clusters[i]];
    sums.own += own, sums.closed += closed_scores.at(item), sums.full += full_scores.at(item);
    ++n;
  }
  std::vector<Sums> groups;
  for (const auto& [cluster, sums] : by_cluster) groups.push_back(sums);
  const auto score = [&](std::span<const size_t> drawn) {
    Sums sums;
    for (const size_t group : drawn)
      sums.own += groups[group].own, sums.closed += groups[group].closed, sums.full += groups[group].full;
    return sums.full > sums.closed ? (sums.own - sums.closed) / (sums.full - sums.closed) : NAN;
  };
  if (groups.empty()) return {};
  Metric metric = corpus_metric(groups.size(), score);
  metric.n = n;
  if (std::isnan(metric.mean)) return {};
  // In some resample full context is no better than none: too few items to bound the score.
  if (std::isnan(metric.low) || std::isnan(metric.high))
    metric.low = metric.high = metric.mean, metric.interval = IntervalKind::none;
  return metric;
}

const Arm* control_arm(const std::vector<Arm>& arms, Control control) {
  for (const Arm& arm : arms)
    if (arm.control == control) return &arm;
  return nullptr;
}

std::string figure(const Json& value) { return value.is_number() ? fmt::format("{:.4g}", value.get<double>()) : "-"; }

using Rows = std::vector<std::vector<std::string>>;

std::string table_text(const Rows& rows) {
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t column = 0; column < row.size(); ++column) {
      size_t width = 0;
      for (const auto& other : rows) width = std::max(width, other[column].size());
      line += column == 0 ? fmt::format("{:<{}}", row[column], width) : fmt::format("  {:>{}}", row[column], width);
    }
    text += line + "\n";
  }
  return text;
}

// "kind=vt length=2048"
std::string cell_name(const Json& cell) {
  std::string name;
  for (const auto& [key, value] : cell.items())
    name += fmt::format("{}{}={}", name.empty() ? "" : " ", key,
                        value.is_string() ? value.get<std::string>() : value.dump());
  return name;
}

// The headline by cell and arm, where cells have names (a kind, a probe, a source): what the mean over them hides.
std::string cells_text(const Json& summary) {
  const std::string headline = summary.at("headline");
  constexpr size_t kMostArms = 8;  // a wider table breaks its lines
  if (summary.at("arms").size() > kMostArms) return "";
  std::vector<std::string> names;
  const auto named = [](const Json& cell) {
    return std::any_of(cell.begin(), cell.end(), [](const Json& value) { return value.is_string(); });
  };
  std::map<std::pair<std::string, size_t>, std::string> figures;
  for (size_t arm = 0; arm < summary.at("arms").size(); ++arm)
    for (const Json& entry : summary["arms"][arm].at("cells")) {
      if (!named(entry.at("cell")) || !entry.at("metrics").contains(headline)) continue;
      const std::string name = cell_name(entry["cell"]);
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
      figures[{name, arm}] = figure(entry["metrics"][headline].at("mean"));
    }
  if (names.size() < 2) return "";
  Rows rows = {{headline}};
  for (const Json& arm : summary["arms"]) rows[0].push_back(arm.at("id"));
  for (const std::string& name : names) {
    rows.push_back({name});
    for (size_t arm = 0; arm < summary["arms"].size(); ++arm) {
      const auto found = figures.find({name, arm});
      rows.back().push_back(found == figures.end() ? "-" : found->second);
    }
  }
  return "\n" + table_text(rows);
}

}  // namespace

Json summarise(const TaskRun& run, const std::vector<Arm>& arms, const RunDirectory& directory) {
  const Arm* closed = control_arm(arms, Control::closed_book);
  const Arm* full = control_arm(arms, Control::full_context);
  Json list = Json::array();
  for (const Arm& arm : arms) {
    const Lines all = directory.lines(arm.id), lines = scored(all);
    Json entry = {{"id", arm.id},
                  {"n", lines.size()},
                  {"skipped", all.size() - lines.size()},
                  {"missing", run.items().size() - all.size()},
                  {"metrics", Json::object()},
                  {"cells", Json::array()}};
    if (!lines.empty()) {
      Metrics metrics = run.metrics(lines);
      if (closed && full && arm.control == Control::none)
        if (const auto score = memory_score(lines, scored(directory.lines(closed->id)),
                                            scored(directory.lines(full->id)), run.headline()))
          metrics[kMemoryScore] = *score;
      entry["metrics"] = metric_json(metrics);
      for (const TaskRun::Cell& cell : run.cells(lines))
        entry["cells"].push_back({{"cell", cell.cell}, {"n", cell.n}, {"metrics", metric_json(cell.metrics)}});
    }
    entry["bytes"] = mean_accounting(lines, "memory_bytes");
    entry["slots"] = mean_accounting(lines, "slots");
    entry["read_tokens_per_s"] = rate(lines, "read_tokens", "read_s");
    entry["decode_tokens_per_s"] = rate(lines, "decoded_tokens", "decode_s");
    list.push_back(std::move(entry));
  }
  return {{"format", "steno.eval.summary"}, {"format_version", 1}, {"arms", list}, {"headline", run.headline()}};
}

std::string summary_text(const Json& summary) {
  // The headline first, then the others by name; only what some arm has.
  std::vector<std::string> names;
  const std::string headline = summary.at("headline");
  for (const Json& arm : summary.at("arms"))
    for (const auto& [name, metric] : arm.at("metrics").items())
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  std::sort(names.begin(), names.end(), [&](const std::string& a, const std::string& b) {
    return std::pair(a != headline, a) < std::pair(b != headline, b);
  });

  Rows rows = {{"arm", "n"}};
  for (const std::string& name : names) rows[0].push_back(name);
  for (const char* name : {"slots", "bytes", "read/s", "decode/s"}) rows[0].emplace_back(name);
  const auto count = [](const Json& value) {
    return value.is_number() ? fmt::format("{:.0f}", value.get<double>()) : "-";
  };
  for (const Json& arm : summary.at("arms")) {
    std::string n = std::to_string(arm.at("n").get<int64_t>());
    if (const auto skipped = arm.at("skipped").get<int64_t>(); skipped > 0) n += fmt::format(" ({} skipped)", skipped);
    std::vector<std::string> row = {arm.at("id"), n};
    for (const std::string& name : names) {
      const auto found = arm.at("metrics").find(name);
      if (found == arm.at("metrics").end()) {
        row.emplace_back("-");
        continue;
      }
      std::string text = figure(found->at("mean"));
      if (found->at("interval") != "none")
        text += fmt::format(" [{}, {}]", figure(found->at("low")), figure(found->at("high")));
      row.push_back(std::move(text));
    }
    for (const char* name : {"slots", "bytes", "read_tokens_per_s", "decode_tokens_per_s"})
      row.push_back(count(arm.at(name)));
    rows.push_back(std::move(row));
  }
  return table_text(rows) + cells_text(summary);
}

}  // namespace steno
