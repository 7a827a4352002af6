#include "methods/lfa/lfa.h"

#include <gtest/gtest.h>

#include "methods/lfa/lfa_rule.h"
#include "methods/score_reference_test_util.h"

namespace steno {
namespace {

using test::ScoreReference;

// freq(j): sum over heads and queries of what was given to j, all that came before a chunk times `decay`.
test::NaivePolicy naive(int64_t budget, int64_t start, int64_t grace, double decay = 1, bool mean = false) {
  test::NaivePolicy policy{.budget = budget};
  policy.scores = [=](const ScoreReference& r, int64_t layer, int64_t) {
    const auto given = r.shares(layer).sum(0);  // [N, N]
    auto share = given.accessor<double, 2>();
    std::vector<double> freq(static_cast<size_t>(r.seen()), 0);
    for (int64_t i = 0; i < r.seen(); ++i) {
      const double age = static_cast<double>(r.chunk_of.back() - r.chunk_of[static_cast<size_t>(i)]);
      for (int64_t j = 0; j <= i; ++j) freq[static_cast<size_t>(j)] += std::pow(decay, age) * share[i][j];
    }
    if (mean)
      for (int64_t j = 0; j < r.seen(); ++j) freq[static_cast<size_t>(j)] /= static_cast<double>(r.seen() - j);
    return freq;
  };
  policy.immunity = [=](const ScoreReference& r, int64_t j) {
    const bool fresh = r.chunk_of[static_cast<size_t>(j)] == r.chunk_of.back();
    return j < start ? 2 : fresh || j >= r.seen() - grace ? 1 : 0;
  };
  return policy;
}

TEST(Lfa, EqualsTheReferenceThatStoresEverything) {
  for (const test::ScoreCase& c : test::score_cases()) {
    test::expect_same_as_reference(*lfa_method(), {.budget = 14, .params = {{"start", "2"}, {"grace", "3"}}},
                                   naive(14, 2, 3), c);
    test::expect_same_as_reference(
        *lfa_method(), {.budget = 20, .params = {{"start", "0"}, {"grace", "0"}, {"decay", "0.8"}, {"score", "mean"}}},
        naive(20, 0, 0, 0.8, true), c);
  }
}

// One step per token; what every slot receives is up to the test.
class Player {
 public:
  explicit Player(const LeastFrequentlyAttended& rule) : rule_(rule) {}
  // share(position, slots held)
  void step(const std::function<float(int64_t, int64_t)>& share) {
    table_.append({next_, 0, next_, next_, 0, Role::token});
    std::vector<float> received;
    for (int64_t row = 0; row < table_.size(); ++row) received.push_back(share(table_[row].position, table_.size()));
    rule_.observe(table_, received, next_);
    ++next_;
    table_.evict(rule_.victims(table_, next_));
  }
  std::set<int64_t> kept() const {
    const auto positions = table_.positions();
    return {positions.begin(), positions.end()};
  }

 private:
  const LeastFrequentlyAttended& rule_;
  SlotTable table_;
  int64_t next_ = 0;
};

TEST(Lfa, KeepsAnOldSlotThatIsReadOften) {
  const LeastFrequentlyAttended rule({.slots = 6, .recent = 2}, 1, MassScore::sum);
  Player player(rule);
  for (int64_t t = 0; t < 100; ++t) {
    player.step(
        [](int64_t position, int64_t slots) { return position == 1 ? 0.5f : 0.5f / static_cast<float>(slots - 1); });
    if (t >= 1) {
      EXPECT_TRUE(player.kept().contains(1)) << t;
    }
  }
}

// Sums favour age: under uniform attention the youngest slot that is not immune leaves. Per query, all are equal up to
// rounding in the few first steps only; the rate of a slot that came late is lower for ever.
TEST(Lfa, UnderUniformAttentionTheYoungestUnprotectedLeaves) {
  const LeastFrequentlyAttended rule({.slots = 6, .recent = 2}, 1, MassScore::sum);
  Player player(rule);
  for (int64_t t = 0; t < 100; ++t)
    player.step([](int64_t, int64_t slots) { return 1.0f / static_cast<float>(slots); });
  EXPECT_EQ(player.kept(), (std::set<int64_t>{0, 1, 2, 3, 98, 99}));
}

// A burst long ago against steady reads: decay and the rate forget, the sum does not.
TEST(Lfa, DecayForgetsABurst) {
  const auto with = [](double decay, MassScore kind) {
    const LeastFrequentlyAttended rule({.slots = 4, .recent = 1}, decay, kind);
    Player player(rule);
    for (int64_t t = 0; t < 60; ++t) {
      player.step([t](int64_t position, int64_t) {
        if (position == 0) return t < 5 ? 4.0f : 0.0f;
        return position <= 3 ? 0.2f : 0.05f;
      });
    }
    return player.kept();
  };
  EXPECT_EQ(with(1, MassScore::sum), (std::set<int64_t>{0, 1, 2, 59}));
  EXPECT_FALSE(with(0.8, MassScore::sum).contains(0));
  EXPECT_TRUE(with(0.8, MassScore::sum).contains(1));
}

TEST(Lfa, AFreshChunkAndTheStartStay) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = test::random_ids(*decoder, 90, 4);
  const auto stream = lfa_method()->open_stream(decoder, {.budget = 20, .chunk_size = 10, .params = {{"grace", "0"}}});
  for (int64_t fed = 0; fed < 90; fed += 10) {
    stream->feed(std::span(ids).subspan(static_cast<size_t>(fed), 10), LogitRows::none);
    for (int64_t layer = 0; layer < 2; ++layer) {
      const auto kept = stream->kept_positions(layer, 0);
      for (int64_t i = 0; i < 10; ++i) EXPECT_EQ(kept[kept.size() - 10 + static_cast<size_t>(i)], fed + i);
      for (int64_t i = 0; i < 4; ++i) EXPECT_EQ(kept[static_cast<size_t>(i)], i) << "the start";
    }
  }
  // Token by token the newest are immune by `grace`.
  const auto single = lfa_method()->open_stream(decoder, {.budget = 40, .chunk_size = 1});
  single->feed(ids, LogitRows::none);
  const auto kept = single->kept_positions(0, 0);
  for (int64_t i = 0; i < 32; ++i) EXPECT_EQ(kept[kept.size() - 32 + static_cast<size_t>(i)], 58 + i);
}

TEST(Lfa, ParametersThatMakeNoSense) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto open = [&](const char* name, const char* value) {
    return lfa_method()->open_stream(decoder, {.budget = 100, .params = {{name, value}}});
  };
  for (const char* decay : {"0", "1.1", "-1", "nan"}) EXPECT_THROW(open("decay", decay), UsageError) << decay;
  EXPECT_THROW(open("score", "rate"), UsageError);
  EXPECT_THROW(open("grace", "-1"), UsageError);
  EXPECT_THROW(open("grace", "96"), UsageError);
  EXPECT_NO_THROW(open("grace", "95"));
}

}  // namespace
}  // namespace steno
