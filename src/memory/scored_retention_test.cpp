#include "memory/scored_retention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/error.h"

namespace steno {
namespace {

// Score: Slot::mass.
class ByMass : public ScoredRetention {
 public:
  using ScoredRetention::ScoredRetention;

 private:
  void score(const SlotTable& table, std::span<const int64_t> ranked, int64_t,
             std::span<double> scores) const override {
    for (const int64_t row : ranked) scores[static_cast<size_t>(row)] = table[row].mass;
  }
};

// Positions 0, 1, ... with these scores, `per_step` of them in each feed step.
SlotTable table_of(const std::vector<double>& scores, int64_t per_step = 1) {
  SlotTable table;
  for (size_t i = 0; i < scores.size(); ++i) {
    const auto position = static_cast<int64_t>(i);
    table.append({position, 0, position / per_step, 0, scores[i], Role::token});
  }
  return table;
}

std::vector<int64_t> gone(const Retention& rule, const SlotTable& table) {
  std::vector<int64_t> positions;
  for (const int64_t row : rule.victims(table, table.size())) positions.push_back(table[row].position);
  std::sort(positions.begin(), positions.end());
  return positions;
}

using Positions = std::vector<int64_t>;

TEST(ScoredRetention, TheLowestScoresLeave) {
  const SlotTable table = table_of({5, 1, 4, 2, 3});
  EXPECT_EQ(gone(ByMass({.slots = 5}), table), Positions{});
  EXPECT_EQ(gone(ByMass({.slots = 9}), table), Positions{});
  EXPECT_EQ(gone(ByMass({.slots = 4}), table), Positions{1});
  EXPECT_EQ(gone(ByMass({.slots = 2}), table), (Positions{1, 3, 4}));
}

TEST(ScoredRetention, OfEqualScoresTheOlderLeave) {
  const SlotTable table = table_of({2, 1, 1, 2, 1, 1});
  EXPECT_EQ(gone(ByMass({.slots = 5}), table), Positions{1});
  EXPECT_EQ(gone(ByMass({.slots = 4}), table), (Positions{1, 2}));
  EXPECT_EQ(gone(ByMass({.slots = 1}), table), (Positions{0, 1, 2, 4, 5}));
  // Rows stand in any order; what counts is the position.
  SlotTable moved = table_of({1, 1, 1, 1});
  moved.evict(Positions{0});
  EXPECT_EQ(moved.positions(), (Positions{3, 1, 2}));
  EXPECT_EQ(gone(ByMass({.slots = 2}), moved), Positions{1});
}

TEST(ScoredRetention, StartRecentAndTheNewestStepAreImmune) {
  const SlotTable table = table_of({0, 0, 9, 8, 7, 6, 0, 0}, 2);
  EXPECT_EQ(gone(ByMass({.slots = 6, .start = 2}), table), (Positions{6, 7}));
  EXPECT_EQ(gone(ByMass({.slots = 6, .start = 2, .recent = 1}), table), (Positions{5, 6}));
  EXPECT_EQ(gone(ByMass({.slots = 6, .start = 2, .recent = 0, .whole_step = true}), table), (Positions{4, 5}));
  EXPECT_EQ(gone(ByMass({.slots = 6, .start = 0, .recent = 3, .whole_step = true}), table), (Positions{0, 1}));
}

TEST(ScoredRetention, ImmunityIsLiftedOldestFirstAndTheStartLast) {
  const SlotTable table = table_of({0, 0, 1, 9, 8, 7});
  EXPECT_EQ(gone(ByMass({.slots = 4, .start = 2, .recent = 3}), table), (Positions{2, 3}));
  EXPECT_EQ(gone(ByMass({.slots = 2, .start = 2, .recent = 3}), table), (Positions{2, 3, 4, 5}));
  EXPECT_EQ(gone(ByMass({.slots = 1, .start = 2, .recent = 3}), table), (Positions{0, 2, 3, 4, 5}));
}

TEST(ScoredRetention, RolesAddUp) {
  using Roles = std::map<std::string, int64_t>;
  const SlotTable table = table_of({1, 1, 1, 1, 1, 1}, 3);
  EXPECT_EQ(ByMass({.slots = 6, .start = 2, .recent = 1}).roles(table, 6),
            (Roles{{"start", 2}, {"kept", 3}, {"recent", 1}}));
  EXPECT_EQ(ByMass({.slots = 6, .start = 2, .recent = 1, .whole_step = true}).roles(table, 6),
            (Roles{{"start", 2}, {"kept", 1}, {"recent", 3}}));
  EXPECT_EQ(ByMass({.slots = 6}).roles(table, 6), (Roles{{"kept", 6}}));
}

TEST(ScoredRetention, ScoresFromMass) {
  const Slot slot{.position = 6, .mass = 8};
  EXPECT_EQ(mass_score(slot, 10, MassScore::sum), 8);
  EXPECT_EQ(mass_score(slot, 10, MassScore::mean), 2);  // queries 6, 7, 8, 9
  EXPECT_EQ(mass_score_named("m", "sum"), MassScore::sum);
  EXPECT_EQ(mass_score_named("m", "mean"), MassScore::mean);
  EXPECT_THROW(mass_score_named("m", "median"), UsageError);
}

}  // namespace
}  // namespace steno
