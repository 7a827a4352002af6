#include "methods/lra/lra.h"

#include <gtest/gtest.h>

#include "methods/lra/lra_rule.h"
#include "methods/score_reference_test_util.h"

namespace steno {
namespace {

using test::ScoreReference;

// last(j): the last chunk in which some query of some head gave j more than `threshold` times the uniform share of what
// it could read; its own chunk at first.
test::NaivePolicy naive(int64_t budget, int64_t start, int64_t grace, double threshold) {
  test::NaivePolicy policy{.budget = budget};
  policy.scores = [threshold](const ScoreReference& r, int64_t layer, int64_t) {
    const at::Tensor shares = r.shares(layer);
    auto share = shares.accessor<double, 3>();
    std::vector<double> last(r.chunk_of.begin(), r.chunk_of.end());
    for (int64_t head = 0; head < shares.size(0); ++head) {
      for (int64_t i = 0; i < r.seen(); ++i) {
        int64_t readable = 0;
        for (int64_t j = 0; j <= i; ++j) readable += share[head][i][j] > 0;
        for (int64_t j = 0; j <= i; ++j)
          if (share[head][i][j] * static_cast<double>(readable) > threshold * (1 + 1e-5))
            last[static_cast<size_t>(j)] =
                std::max(last[static_cast<size_t>(j)], static_cast<double>(r.chunk_of[static_cast<size_t>(i)]));
      }
    }
    return last;
  };
  policy.immunity = [=](const ScoreReference& r, int64_t j) {
    const bool fresh = r.chunk_of[static_cast<size_t>(j)] == r.chunk_of.back();
    return j < start ? 2 : fresh || j >= r.seen() - grace ? 1 : 0;
  };
  return policy;
}

TEST(Lra, EqualsTheReferenceThatStoresEverything) {
  for (const test::ScoreCase& c : test::score_cases()) {
    test::expect_same_as_reference(*lra_method(), {.budget = 14, .params = {{"start", "2"}, {"grace", "3"}}},
                                   naive(14, 2, 3, 1), c);
    test::expect_same_as_reference(*lra_method(),
                                   {.budget = 20, .params = {{"start", "0"}, {"grace", "0"}, {"threshold", "1.2"}}},
                                   naive(20, 0, 0, 1.2), c);
  }
}

// One step per token: what every slot receives is up to the test.
class Player {
 public:
  explicit Player(const LeastRecentlyAttended& rule) : rule_(rule) {}
  // peak(position): times the uniform share.
  void step(const std::function<float(int64_t)>& peak) {
    table_.append({next_, 0, next_, next_, 0, Role::token});
    std::vector<float> received;
    for (int64_t row = 0; row < table_.size(); ++row) received.push_back(peak(table_[row].position));
    rule_.observe(table_, received, next_);
    ++next_;
    table_.evict(rule_.victims(table_, next_));
  }
  std::set<int64_t> kept() const {
    const auto positions = table_.positions();
    return {positions.begin(), positions.end()};
  }

 private:
  const LeastRecentlyAttended& rule_;
  SlotTable table_;
  int64_t next_ = 0;
};

TEST(Lra, KeepsForEverWhatIsAttendedAtEveryStepWhereFifoDropsIt) {
  const LeastRecentlyAttended rule({.slots = 5}, 1), fifo({.slots = 5}, 0);
  Player lra(rule), first_in(fifo);
  for (int64_t t = 0; t < 100; ++t) {
    const auto skewed = [](int64_t position) { return position == 2 ? 3.0f : 0.5f; };
    lra.step(skewed);
    first_in.step(skewed);
  }
  EXPECT_EQ(lra.kept(), (std::set<int64_t>{2, 96, 97, 98, 99}));
  EXPECT_EQ(first_in.kept(), (std::set<int64_t>{95, 96, 97, 98, 99}));
}

TEST(Lra, WhatWasAttendedLaterOutlivesWhatWasAttendedEarlier) {
  const LeastRecentlyAttended rule({.slots = 4}, 1);
  // 0 is attended at step 3, 1 at 3 and 5, all others when they are born.
  const auto kept_after = [&](int64_t steps) {
    Player player(rule);
    for (int64_t t = 0; t < steps; ++t)
      player.step(
          [t](int64_t position) { return (t == 3 && position <= 1) || (t == 5 && position == 1) ? 2.0f : 0.0f; });
    return player.kept();
  };
  EXPECT_EQ(kept_after(5), (std::set<int64_t>{0, 1, 3, 4}));  // 2 was last attended at 2
  EXPECT_EQ(kept_after(6), (std::set<int64_t>{1, 3, 4, 5}));  // 0 and 3 at 3: the older leaves
  EXPECT_EQ(kept_after(8), (std::set<int64_t>{1, 5, 6, 7}));
  EXPECT_EQ(kept_after(9), (std::set<int64_t>{5, 6, 7, 8}));
}

TEST(Lra, UniformAttentionIsNotAboveUniform) {
  const LeastRecentlyAttended rule({.slots = 5}, 1);
  Player player(rule);
  for (int64_t t = 0; t < 50; ++t) player.step([](int64_t) { return std::nextafter(1.0f, 2.0f); });
  EXPECT_EQ(player.kept(), (std::set<int64_t>{45, 46, 47, 48, 49}));
}

// attendre, section 5: with threshold 0 every slot is attended at every step.
TEST(Lra, WithoutAThresholdItIsFifoAndWithOneItIsNot) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = test::random_ids(*decoder, 80, 3);
  for (const int64_t chunk : {1, 4}) {
    const auto open = [&](const char* threshold) {
      return lra_method()->open_stream(
          decoder, {.budget = 20, .chunk_size = chunk, .params = {{"threshold", threshold}, {"grace", "0"}}});
    };
    const auto fifo = method_named("fifo").open_stream(decoder, {.budget = 20, .chunk_size = chunk});
    const auto same = open("0"), other = open("1");
    int differ = 0;
    for (size_t fed = 0; fed < ids.size(); fed += static_cast<size_t>(chunk)) {
      const auto more = std::span(ids).subspan(fed, static_cast<size_t>(chunk));
      const at::Tensor expected = fifo->feed(more, LogitRows::all).logits;
      EXPECT_LE(test::relative_difference(same->feed(more, LogitRows::all).logits, expected), 1e-5);
      other->feed(more, LogitRows::none);
      for (int64_t layer = 0; layer < 2; ++layer) {
        EXPECT_EQ(same->kept_positions(layer, 0), fifo->kept_positions(layer, 0));
        differ += other->kept_positions(layer, 0) != fifo->kept_positions(layer, 0);
      }
    }
    EXPECT_GT(differ, 0) << chunk;
  }
}

TEST(Lra, AFreshChunkStaysWhole) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = test::random_ids(*decoder, 90, 4);
  const auto stream = lra_method()->open_stream(decoder, {.budget = 20, .chunk_size = 10, .params = {{"grace", "0"}}});
  for (int64_t fed = 0; fed < 90; fed += 10) {
    stream->feed(std::span(ids).subspan(static_cast<size_t>(fed), 10), LogitRows::none);
    for (int64_t layer = 0; layer < 2; ++layer) {
      const auto kept = stream->kept_positions(layer, 0);
      for (int64_t i = 0; i < 10; ++i) EXPECT_EQ(kept[kept.size() - 10 + static_cast<size_t>(i)], fed + i);
      for (int64_t i = 0; i < 4; ++i) EXPECT_EQ(kept[static_cast<size_t>(i)], i) << "the start";
    }
  }
}

TEST(Lra, ParametersThatMakeNoSense) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto open = [&](const char* name, const char* value) {
    return lra_method()->open_stream(decoder, {.budget = 100, .params = {{name, value}}});
  };
  EXPECT_THROW(open("threshold", "-1"), UsageError);
  EXPECT_THROW(open("threshold", "inf"), UsageError);
  EXPECT_THROW(open("grace", "-1"), UsageError);
  EXPECT_THROW(open("grace", "96"), UsageError);
  EXPECT_NO_THROW(open("grace", "95"));
}

}  // namespace
}  // namespace steno
