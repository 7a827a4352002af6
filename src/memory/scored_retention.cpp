#include "memory/scored_retention.h"

#include <algorithm>
#include <limits>

#include "base/error.h"

namespace steno {
namespace {

int64_t newest_step(const SlotTable& table) {
  int64_t step = std::numeric_limits<int64_t>::min();
  for (int64_t row = 0; row < table.size(); ++row) step = std::max(step, table[row].born);
  return step;
}

}  // namespace

int ScoredRetention::immunity(const Slot& slot, int64_t next_position, int64_t newest_step) const {
  if (slot.position < budget_.start) return 2;
  if (slot.position >= next_position - budget_.recent) return 1;
  return budget_.whole_step && slot.born == newest_step ? 1 : 0;
}

std::vector<int64_t> ScoredRetention::victims(const SlotTable& table, int64_t next_position) const {
  const int64_t excess = table.size() - budget_.slots;
  if (excess <= 0) return {};
  const int64_t step = budget_.whole_step ? newest_step(table) : 0;
  struct Candidate {
    double score;
    int64_t position, row;
    bool operator<(const Candidate& other) const {
      return score != other.score ? score < other.score : position < other.position;
    }
  };
  std::vector<int64_t> ranked;
  std::vector<Candidate> immune[2];  // they have no score: older first
  for (int64_t row = 0; row < table.size(); ++row) {
    const int level = immunity(table[row], next_position, step);
    if (level == 0)
      ranked.push_back(row);
    else
      immune[level - 1].push_back({0, table[row].position, row});
  }
  std::vector<double> scores(static_cast<size_t>(table.size()));
  score(table, ranked, next_position, scores);
  std::vector<Candidate> candidates;
  candidates.reserve(ranked.size());
  for (const int64_t row : ranked) candidates.push_back({scores[static_cast<size_t>(row)], table[row].position, row});

  std::vector<int64_t> rows;
  rows.reserve(static_cast<size_t>(excess));
  for (auto* group : {&candidates, &immune[0], &immune[1]}) {
    const auto wanted = std::min<size_t>(static_cast<size_t>(excess) - rows.size(), group->size());
    if (wanted == 0) continue;
    if (wanted == 1)  // every decode step at capacity
      rows.push_back(std::min_element(group->begin(), group->end())->row);
    else {
      std::nth_element(group->begin(), group->begin() + static_cast<std::ptrdiff_t>(wanted) - 1, group->end());
      for (size_t i = 0; i < wanted; ++i) rows.push_back((*group)[i].row);
    }
  }
  return rows;
}

std::map<std::string, int64_t> ScoredRetention::roles(const SlotTable& table, int64_t next_position) const {
  const int64_t step = newest_step(table);
  int64_t counts[3] = {0, 0, 0};
  for (int64_t row = 0; row < table.size(); ++row) ++counts[immunity(table[row], next_position, step)];
  std::map<std::string, int64_t> roles;
  const char* names[3] = {ranked_role(), "recent", "start"};
  for (int level = 0; level < 3; ++level)
    if (counts[level] > 0) roles[names[level]] += counts[level];
  return roles;
}

MassScore mass_score_named(const std::string& owner, const std::string& name) {
  if (name == "sum") return MassScore::sum;
  if (name == "mean") return MassScore::mean;
  throw UsageError("[{}] score is '{}'; it is 'sum' or 'mean'", owner, name);
}

double mass_score(const Slot& slot, int64_t next_position, MassScore kind) {
  return kind == MassScore::sum ? slot.mass : slot.mass / static_cast<double>(next_position - slot.position);
}

}  // namespace steno
