#include "methods/snapkv/snapkv.h"

#include <gtest/gtest.h>

#include "methods/score_reference_test_util.h"
#include "methods/snapkv/snapkv_rule.h"

namespace steno {
namespace {

using test::ScoreReference;

// The publication, step by step: sums over the window's queries, without the window's columns, pooled in order.
test::NaivePolicy naive(int64_t budget, int64_t window, int64_t kernel, bool maximum, int64_t start = 0) {
  test::NaivePolicy policy{.budget = budget};
  policy.scores = [=](const ScoreReference& r, int64_t layer, int64_t head) {
    const int64_t count = std::min(window, r.seen());
    const auto sums =
        test::as_doubles(r.shares_now(layer, count).narrow(0, head * r.group(), r.group()).mean(0).sum(0));
    std::vector<int64_t> before;
    for (const int64_t j : r.kept_positions(layer, head))
      if (j >= start && j < r.seen() - window) before.push_back(j);
    std::vector<double> pooled(sums.size(), 0);
    for (int64_t i = 0; i < static_cast<int64_t>(before.size()); ++i) {
      double sum = 0, top = 0;
      for (int64_t n = 0; n < kernel; ++n) {
        const int64_t at = i - kernel / 2 + n;
        const double value = at >= 0 && at < static_cast<int64_t>(before.size())
                                 ? sums[static_cast<size_t>(before[static_cast<size_t>(at)])]
                                 : 0;
        sum += value, top = std::max(top, value);
      }
      pooled[static_cast<size_t>(before[static_cast<size_t>(i)])] = maximum ? top : sum / static_cast<double>(kernel);
    }
    return pooled;
  };
  policy.immunity = [=](const ScoreReference& r, int64_t j) { return j < start ? 2 : j >= r.seen() - window ? 1 : 0; };
  return policy;
}

StreamOptions options(int64_t budget, int64_t window, int64_t kernel, const std::string& pool = "avg") {
  return {.budget = budget,
          .params = {{"window", std::to_string(window)}, {"kernel", std::to_string(kernel)}, {"pool", pool}}};
}

TEST(SnapKv, EqualsTheReferenceThatStoresEverything) {
  for (test::ScoreCase c : test::score_cases()) {
    c.cut_single = false;
    test::expect_same_as_reference(*snapkv_method(), options(12, 4, 3), naive(12, 4, 3, false), c);
    test::expect_same_as_reference(*snapkv_method(), options(14, 7, 5, "max"), naive(14, 7, 5, true), c);
    c.cut_single = true;
    StreamOptions cut = options(13, 6, 1);
    cut.params["decode"] = "cut";
    test::expect_same_as_reference(*snapkv_method(), cut, naive(13, 6, 1, false), c);
    cut.params["start"] = "2";
    test::expect_same_as_reference(*snapkv_method(), cut, naive(13, 6, 1, false, 2), c);
  }
}

SlotTable table_of(const std::vector<double>& mass) {
  SlotTable table;
  for (size_t i = 0; i < mass.size(); ++i) table.append({static_cast<int64_t>(i), 0, 0, 0, mass[i], Role::token});
  return table;
}

std::set<int64_t> kept(const ObservedByWindow& rule, SlotTable table) {
  table.evict(rule.victims(table, table.size()));
  const auto positions = table.positions();
  return {positions.begin(), positions.end()};
}

TEST(SnapKv, PoolingWidensASpikeToItsKernel) {
  std::vector<double> mass(20, 0.01);
  mass[8] = 1;
  const std::set<int64_t> window = {16, 17, 18, 19};
  const auto with = [&](std::set<int64_t> more) {
    more.insert(window.begin(), window.end());
    return more;
  };
  for (const Pooling pooling : {Pooling::average, Pooling::maximum}) {
    EXPECT_EQ(kept(ObservedByWindow({.slots = 9, .recent = 4}, 5, pooling), table_of(mass)), with({6, 7, 8, 9, 10}));
    EXPECT_EQ(kept(ObservedByWindow({.slots = 7, .recent = 4}, 3, pooling), table_of(mass)), with({7, 8, 9}));
    EXPECT_EQ(kept(ObservedByWindow({.slots = 5, .recent = 4}, 1, pooling), table_of(mass)), with({8}));
    // An even kernel reaches one further to the older side: the spike is pooled by the slots from 7 to 10.
    EXPECT_EQ(kept(ObservedByWindow({.slots = 8, .recent = 4}, 4, pooling), table_of(mass)), with({7, 8, 9, 10}));
  }
  // The average divides by the kernel at the border too: 0.2 at position 0 of kernel 3 loses against 0.3 inside.
  std::vector<double> border(10, 0.0);
  border[0] = 0.5, border[4] = 0.6;
  EXPECT_EQ(kept(ObservedByWindow({.slots = 5, .recent = 2}, 3, Pooling::average), table_of(border)),
            (std::set<int64_t>{3, 4, 5, 8, 9}));
  // Columns of the window are not pooled over.
  std::vector<double> heavy(10, 0.1);
  heavy[3] = 0.2, heavy[8] = 50;
  EXPECT_EQ(kept(ObservedByWindow({.slots = 5, .recent = 2}, 3, Pooling::maximum), table_of(heavy)),
            (std::set<int64_t>{2, 3, 4, 8, 9}));
}

// Rows of a table stand in any order once slots have left; neighbours are neighbours in the text.
TEST(SnapKv, PoolingFollowsPositionsNotRows) {
  std::vector<double> mass(20, 0.01);
  mass[8] = 1;
  SlotTable table = table_of(mass);
  table.evict(std::vector<int64_t>{0, 7});  // 18 and 19 move into rows 0 and 7
  ASSERT_EQ(table[7].position, 19);
  const ObservedByWindow rule({.slots = 7, .recent = 4}, 3, Pooling::average);
  table.evict(rule.victims(table, 20));
  const auto positions = table.positions();
  EXPECT_EQ((std::set<int64_t>(positions.begin(), positions.end())), (std::set<int64_t>{6, 8, 9, 16, 17, 18, 19}));
}

TEST(SnapKv, PromptsUpToTheBudgetAreUnchangedAndAnswersAreAdded) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = test::random_ids(*decoder, 60, 5);
  for (const char* cut : {"chunk", "feed"}) {
    for (const int64_t length : {19, 20, 21, 40}) {
      StreamOptions with = options(20, 8, 5);
      with.chunk_size = 100;
      with.params["cut"] = cut;
      const auto stream = snapkv_method()->open_stream(decoder, with);
      stream->feed(std::span(ids).first(static_cast<size_t>(length)), LogitRows::none);
      EXPECT_EQ(stream->accounting().slots, std::min<int64_t>(length, 20));
      if (length <= 20) {
        EXPECT_EQ(stream->accounting().dropped_tokens, 0);
      }
      EXPECT_EQ(stream->accounting().peak_slots, length);
      for (int64_t layer = 0; layer < 2; ++layer) {
        for (int64_t head = 0; head < 2; ++head) {
          const auto kept = stream->kept_positions(layer, head);
          for (int64_t back = 0; back < 8; ++back)
            EXPECT_EQ(kept[kept.size() - 1 - static_cast<size_t>(back)], length - 1 - back);
        }
      }
      const auto before = stream->kept_positions(1, 1);
      for (int64_t t = 0; t < 10; ++t) {
        stream->feed(std::span(ids).subspan(static_cast<size_t>(length + t), 1), LogitRows::last);
        EXPECT_EQ(stream->accounting().slots, std::min<int64_t>(length, 20) + t + 1);
      }
      auto expected = before;
      for (int64_t t = 0; t < 10; ++t) expected.push_back(length + t);
      EXPECT_EQ(stream->kept_positions(1, 1), expected);
      // The next turn is a prompt again.
      stream->feed(std::span(ids).first(2), LogitRows::none);
      EXPECT_EQ(stream->accounting().slots, 20);
    }
  }
}

TEST(SnapKv, DecodeCutHoldsTheBudget) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = test::random_ids(*decoder, 60, 6);
  StreamOptions with = options(20, 8, 5);
  with.params["decode"] = "cut";
  const auto stream = snapkv_method()->open_stream(decoder, with);
  for (size_t i = 0; i < ids.size(); ++i) {
    stream->feed(std::span(ids).subspan(i, 1), LogitRows::none);
    EXPECT_EQ(stream->accounting().slots, std::min<int64_t>(static_cast<int64_t>(i) + 1, 20));
  }
}

TEST(SnapKv, ParametersThatMakeNoSense) {
  const auto decoder = test::tiny_decoder("llama_tied");
  EXPECT_THROW(snapkv_method()->open_stream(decoder, options(20, 0, 5)), UsageError);
  EXPECT_THROW(snapkv_method()->open_stream(decoder, options(20, 8, 0)), UsageError);
  EXPECT_THROW(snapkv_method()->open_stream(decoder, options(20, 8, 5, "sum")), UsageError);
  EXPECT_THROW(snapkv_method()->open_stream(decoder, {.budget = 100, .params = {{"decode", "drop"}}}), UsageError);
  EXPECT_NO_THROW(snapkv_method()->open_stream(decoder, options(9, 8, 5)));
  try {
    snapkv_method()->open_stream(decoder, options(8, 8, 5));
    ADD_FAILURE();
  } catch (const UsageError& error) {
    EXPECT_STREQ(error.what(), "[snapkv] budget is 8 with 0 start slots and a window of 8; it must be at least 9");
  }
}

}  // namespace
}  // namespace steno
