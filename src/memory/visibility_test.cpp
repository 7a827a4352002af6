#include "memory/visibility.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <set>

#include "memory/retention.h"

namespace steno {
namespace {

std::vector<Slot> slots_at(int64_t first, int64_t count) {
  std::vector<Slot> slots;
  for (int64_t i = 0; i < count; ++i) slots.push_back({.position = first + i});
  return slots;
}

// Start, recent tokens, and whatever ended an utterance in the last `reach` positions: a rule of positions and roles.
class KeepsEndings : public Retention, public Visibility {
 public:
  std::vector<int64_t> victims(const SlotTable& table, int64_t next) const override {
    return never_visible_again(*this, table, next);
  }
  const Visibility* visibility() const override { return this; }
  bool visible(int64_t query, const Slot& slot) const override {
    return query - slot.position < (slot.role == Role::utterance_end ? 9 : 3) || slot.position < 1;
  }
};

// What a query reads, one set of positions per query: by mask over a text cut into chunks, rows in the bank's order.
std::vector<std::set<int64_t>> by_mask(const Retention& rule, const std::vector<Slot>& text,
                                       const std::vector<int64_t>& chunks) {
  SlotTable table;
  std::vector<std::set<int64_t>> read;
  int64_t seen = 0;
  for (const int64_t count : chunks) {
    table.evict(rule.victims(table, seen));
    const auto own = std::span(text).subspan(static_cast<size_t>(seen), static_cast<size_t>(count));
    const at::Tensor mask = visibility_mask(*rule.visibility(), table, own);
    const int64_t rows = table.size();
    if (mask.defined()) {
      EXPECT_EQ(mask.sizes(), (std::vector<int64_t>{1, 1, count, rows + count}));
    }
    bool causal = true;
    for (int64_t t = 0; t < count; ++t) {
      auto& set = read.emplace_back();
      for (int64_t j = 0; j < rows + count; ++j) {
        const bool past = j <= rows + t;
        const bool open = mask.defined() ? mask[0][0][t][j].item<bool>() : past;
        causal &= open == past;
        if (open) set.insert(j < rows ? table[j].position : own[static_cast<size_t>(j - rows)].position);
      }
    }
    EXPECT_EQ(mask.defined(), !causal) << "a mask exactly when the plain causal one would be wrong";
    for (const Slot& slot : own) table.append(slot);
    seen += count;
  }
  return read;
}

// The same by eviction alone: before a query the rule cuts, then it reads everything there is and itself.
std::vector<std::set<int64_t>> by_eviction(const Retention& rule, const std::vector<Slot>& text) {
  SlotTable table;
  std::vector<std::set<int64_t>> read;
  for (const Slot& slot : text) {
    table.evict(rule.victims(table, slot.position));
    table.append(slot);
    const auto positions = table.positions();
    read.emplace_back(positions.begin(), positions.end());
  }
  return read;
}

// Straight from the definition.
std::vector<std::set<int64_t>> by_definition(const Visibility& rule, const std::vector<Slot>& text) {
  std::vector<std::set<int64_t>> read;
  for (const Slot& query : text) {
    auto& set = read.emplace_back();
    for (const Slot& slot : text)
      if (slot.position <= query.position && rule.visible(query.position, slot)) set.insert(slot.position);
  }
  return read;
}

std::vector<int64_t> random_chunks(int64_t total) {
  std::vector<int64_t> chunks;
  while (total > 0) {
    chunks.push_back(*rc::gen::inRange<int64_t>(1, std::min<int64_t>(total, 12) + 1));
    total -= chunks.back();
  }
  return chunks;
}

TEST(Visibility, MaskAndEvictionAreOneRule) {
  EXPECT_TRUE(rc::check("start and recent", [] {
    const StartAndRecent rule(*rc::gen::inRange<int64_t>(0, 5), *rc::gen::inRange<int64_t>(0, 12));
    const auto text = slots_at(0, *rc::gen::inRange<int64_t>(1, 40));
    const auto expected = by_definition(rule, text);
    RC_ASSERT(by_eviction(rule, text) == expected);
    RC_ASSERT(by_mask(rule, text, random_chunks(static_cast<int64_t>(text.size()))) == expected);
  }));
  EXPECT_TRUE(rc::check("roles", [] {
    const KeepsEndings rule;
    auto text = slots_at(0, *rc::gen::inRange<int64_t>(1, 40));
    for (Slot& slot : text) slot.role = *rc::gen::inRange(0, 4) == 0 ? Role::utterance_end : Role::token;
    const auto expected = by_definition(rule, text);
    RC_ASSERT(by_eviction(rule, text) == expected);
    RC_ASSERT(by_mask(rule, text, random_chunks(static_cast<int64_t>(text.size()))) == expected);
  }));
}

// A rule under which slots come back: multiples of a number that changes with the query, and the last three.
class ComesBack : public Visibility {
 public:
  bool monotone() const override { return false; }
  bool visible(int64_t query, const Slot& slot) const override {
    return query - slot.position < 3 || slot.position % (2 + query % 4) == 0;
  }
};

TEST(Visibility, SlotsThatComeBackAreNeverEvicted) {
  EXPECT_TRUE(rc::check("not monotone", [] {
    const ComesBack rule;
    const auto text = slots_at(0, *rc::gen::inRange<int64_t>(1, 40));
    SlotTable table;
    std::vector<std::set<int64_t>> read;
    for (const int64_t count : random_chunks(static_cast<int64_t>(text.size()))) {
      const int64_t seen = table.size();
      RC_ASSERT(never_visible_again(rule, table, seen).empty());
      const auto own = std::span(text).subspan(static_cast<size_t>(seen), static_cast<size_t>(count));
      const at::Tensor mask = visibility_mask(rule, table, own);
      for (int64_t t = 0; t < count; ++t) {
        auto& set = read.emplace_back();
        for (int64_t j = 0; j <= seen + t; ++j)
          if (!mask.defined() || mask[0][0][t][j].item<bool>()) set.insert(j);
      }
      for (const Slot& slot : own) table.append(slot);
    }
    RC_ASSERT(read == by_definition(rule, text));
  }));
}

TEST(Visibility, KeepAllNeverNeedsAMask) {
  const KeepAll rule;
  const auto text = slots_at(0, 20);
  EXPECT_EQ(by_mask(rule, text, {7, 1, 12}), by_definition(rule, text));
  SlotTable table;
  for (const Slot& slot : slots_at(0, 50)) table.append(slot);
  EXPECT_FALSE(visibility_mask(rule, table, slots_at(50, 9)).defined());
  EXPECT_TRUE(rule.victims(table, 1000000).empty());
}

TEST(Visibility, NamedExample) {
  // Two start slots, two older ones and the token itself: V(i, j) = j < 2 or i - j <= 2.
  const StartAndRecent rule(2, 2);
  SlotTable table;
  for (const Slot& slot : slots_at(0, 5)) table.append(slot);
  EXPECT_EQ(rule.victims(table, 5), (std::vector<int64_t>{2}));
  EXPECT_EQ(rule.victims(table, 6), (std::vector<int64_t>{2, 3}));
  table.evict(rule.victims(table, 5));  // rows 0 1 4 3
  const at::Tensor mask = visibility_mask(rule, table, slots_at(5, 2));
  const at::Tensor expected = at::tensor({1, 1, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1}).to(at::kBool).view({1, 1, 2, 6});
  EXPECT_TRUE(mask.equal(expected)) << mask;
}

TEST(Visibility, WindowsOfAnyLengthDoNotOverflow) {
  const StartAndRecent rule(0, std::numeric_limits<int64_t>::max());
  SlotTable table;
  table.append({.position = 0});
  EXPECT_TRUE(rule.victims(table, int64_t{1} << 60).empty());
}

}  // namespace
}  // namespace steno
