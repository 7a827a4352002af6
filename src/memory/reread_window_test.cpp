#include "memory/reread_window.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <set>

namespace steno {
namespace {

using Ranges = std::vector<PositionRange>;

TEST(WindowRule, NothingIsBuiltWhileTheTextFits) {
  const WindowRule rule{.budget = 10, .start = 2, .recent = 0, .block = 3};
  for (int64_t n = 0; n <= 10; ++n) EXPECT_EQ(rule.size_after(n), n);
  EXPECT_EQ(rule.begin_for(9), 0);
  const int64_t sizes[] = {8, 9, 10, 8, 9, 10, 8};
  for (int64_t i = 0; i < 7; ++i) EXPECT_EQ(rule.size_after(11 + i), sizes[i]);
  EXPECT_EQ(rule.begin_for(12), 10);
  EXPECT_EQ(rule.begin_for(13), 13);
}

TEST(Window, WithoutPassagesItIsTheStartAndTheNewestTokens) {
  const WindowRule rule{.budget = 10, .start = 2, .recent = 0, .block = 3};
  const Window w = window_before(rule, 40, 40, 40, {});
  EXPECT_EQ(w.context, (Ranges{{0, 2}, {35, 40}}));
  EXPECT_EQ(w.size(42), 9);
  EXPECT_EQ(w.positions(42), (std::vector<int64_t>{0, 1, 35, 36, 37, 38, 39, 40, 41}));
}

TEST(Window, NamedExample) {
  // 20 tokens of context: 2 at the start, the question 96 .. 99 with 2 before it, and 12 for passages of 5: two of
  // them, and 2 more recent tokens.
  const WindowRule rule{.budget = 24, .start = 2, .recent = 2, .block = 4};
  const auto passages = [](int64_t before) {
    EXPECT_EQ(before, 94);
    return Ranges{{50, 55}, {10, 15}, {60, 65}};
  };
  const Window w = window_before(rule, 100, 96, 100, passages);
  EXPECT_EQ(w.context, (Ranges{{0, 2}, {10, 15}, {50, 55}, {92, 100}}));
  EXPECT_EQ(w.passages, 10);
  // A passage that does not fit is passed over for a smaller one: here the rest of one that overlaps the start.
  const Window small = window_before({.budget = 13, .start = 4, .recent = 0, .block = 1}, 100, 96, 100, [](int64_t) {
    return Ranges{{50, 55}, {0, 5}, {5, 10}};
  });
  EXPECT_EQ(small.context, (Ranges{{0, 4}, {4, 5}, {93, 100}}));
  // The tail grows around passages that it meets.
  const Window meets = window_before({.budget = 21, .start = 0, .recent = 0, .block = 1}, 100, 96, 100, [](int64_t) {
    return Ranges{{85, 90}};
  });
  EXPECT_EQ(meets.context, (Ranges{{80, 100}}));
}

// Whatever a finder says, a window is full, in order, and within its budget.
TEST(Window, IsAlwaysFull) {
  EXPECT_TRUE(rc::check("window", [] {
    const int64_t start = *rc::gen::inRange<int64_t>(0, 6), block = *rc::gen::inRange<int64_t>(1, 9);
    const WindowRule rule{.budget = start + block + *rc::gen::inRange<int64_t>(1, 40),
                          .start = start,
                          .recent = *rc::gen::inRange<int64_t>(0, 12),
                          .block = block};
    const int64_t begin = rule.budget + *rc::gen::inRange<int64_t>(0, 60);
    const int64_t length = *rc::gen::inRange<int64_t>(1, rule.budget), passage = *rc::gen::inRange<int64_t>(1, 12);
    const Window w = window_before(rule, begin, begin - length, begin, [&](int64_t before) {
      Ranges found;
      for (int64_t p = 0; p < before / passage; ++p) found.emplace_back(p * passage, (p + 1) * passage);
      for (size_t i = 1; i < found.size(); ++i) std::swap(found[i], found[*rc::gen::inRange<size_t>(0, i + 1)]);
      return found;
    });
    const auto positions = w.positions(begin + block);
    RC_ASSERT(static_cast<int64_t>(positions.size()) == rule.budget);
    RC_ASSERT(std::is_sorted(positions.begin(), positions.end()));
    const std::set<int64_t> held(positions.begin(), positions.end());
    RC_ASSERT(held.size() == positions.size());
    for (int64_t j = 0; j < start; ++j) RC_ASSERT(held.contains(j));
    const int64_t room = rule.budget - block - start;
    for (int64_t j = std::max({begin - room, begin - length - rule.recent, start}); j < begin; ++j)
      RC_ASSERT(held.contains(j));
  }));
}

}  // namespace
}  // namespace steno
