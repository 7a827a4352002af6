#include "memory/slot_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <numeric>
#include <set>

namespace steno {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

SlotTable table_of(const std::vector<int64_t>& positions) {
  SlotTable table;
  for (const int64_t position : positions) table.append({.position = position});
  return table;
}

// Random distinct rows of a table of `size`.
std::vector<int64_t> random_victims(int64_t size) {
  std::vector<int64_t> victims;
  for (int64_t row = 0; row < size; ++row)
    if (*rc::gen::arbitrary<bool>()) victims.push_back(row);
  for (size_t i = victims.size(); i > 1; --i)
    std::swap(victims[i - 1], victims[static_cast<size_t>(*rc::gen::inRange<int64_t>(0, static_cast<int64_t>(i)))]);
  return victims;
}

void expect_ok(bool passed) { EXPECT_TRUE(passed); }

TEST(SlotTable, EvictionMatchesAPlainVector) {
  expect_ok(rc::check("evict", [] {
    SlotTable table;
    std::vector<int64_t> payload;  // moved as a bank would
    std::set<int64_t> model;       // positions that must be there
    int64_t next = 0;
    const int rounds = *rc::gen::inRange(1, 8);
    for (int round = 0; round < rounds; ++round) {
      const auto added = *rc::gen::inRange<int64_t>(0, 20);
      for (int64_t i = 0; i < added; ++i, ++next) {
        table.append({.position = next, .segment = next * 3, .mass = static_cast<double>(next) / 2});
        payload.push_back(next * 7);
        model.insert(next);
      }
      const auto victims = random_victims(table.size());
      const std::vector<int64_t> before = table.positions();
      for (const int64_t row : victims) model.erase(before[static_cast<size_t>(row)]);

      const auto moves = table.evict(victims);
      RC_ASSERT(moves.size() <= victims.size());
      std::set<int64_t> targets, sources;
      for (const auto& move : moves) {
        RC_ASSERT(std::find(victims.begin(), victims.end(), move.to) != victims.end());
        RC_ASSERT(std::find(victims.begin(), victims.end(), move.from) == victims.end());
        RC_ASSERT(targets.insert(move.to).second && sources.insert(move.from).second);
        payload[static_cast<size_t>(move.to)] = payload[static_cast<size_t>(move.from)];
      }
      payload.resize(static_cast<size_t>(table.size()));

      RC_ASSERT(table.size() == static_cast<int64_t>(model.size()));
      const auto after = table.positions();
      RC_ASSERT((std::set<int64_t>(after.begin(), after.end()) == model));
      for (int64_t row = 0; row < table.size(); ++row) {
        const Slot& slot = table[row];
        RC_ASSERT(payload[static_cast<size_t>(row)] == slot.position * 7);
        RC_ASSERT(slot.segment == slot.position * 3 && slot.mass == static_cast<double>(slot.position) / 2);
      }
      const int64_t first = victims.empty() ? table.size() : *std::min_element(victims.begin(), victims.end());
      for (int64_t row = 0; row < first; ++row)
        RC_ASSERT(after[static_cast<size_t>(row)] == before[static_cast<size_t>(row)]);

      const auto order = table.order();
      RC_ASSERT(static_cast<int64_t>(order.size()) == table.size());
      auto expected = model.begin();
      for (const int64_t row : order) RC_ASSERT(table[row].position == *expected++);
    }
  }));
}

TEST(SlotTable, MovesComeFromTheEnd) {
  SlotTable table = table_of({0, 1, 2, 3, 4, 5, 6});
  const auto moves = table.evict(std::vector<int64_t>{1, 5, 2});
  ASSERT_EQ(moves.size(), 2u);
  EXPECT_THAT(table.positions(), ElementsAre(0, 4, 6, 3));
  EXPECT_THAT(table.order(), ElementsAre(0, 3, 1, 2));
}

TEST(SlotTable, TheLastRowsGoWithoutAnyMove) {
  SlotTable table = table_of({0, 1, 2, 3});
  EXPECT_THAT(table.evict(std::vector<int64_t>{3, 2}), IsEmpty());
  EXPECT_THAT(table.positions(), ElementsAre(0, 1));
}

TEST(SlotTable, AllAndNone) {
  SlotTable table = table_of({0, 1, 2});
  EXPECT_THAT(table.evict({}), IsEmpty());
  EXPECT_EQ(table.size(), 3);
  EXPECT_THAT(table.evict(std::vector<int64_t>{0, 1, 2}), IsEmpty());
  EXPECT_EQ(table.size(), 0);
  EXPECT_THAT(table.order(), IsEmpty());
}

}  // namespace
}  // namespace steno
