#include "methods/tova/tova.h"

#include <gtest/gtest.h>

#include "methods/score_reference_test_util.h"

namespace steno {
namespace {

using test::ScoreReference;

// m(j): mean over all query heads of what the last query gives to j.
test::NaivePolicy naive(int64_t budget, int64_t start = 0) {
  test::NaivePolicy policy{.budget = budget};
  policy.scores = [](const ScoreReference& r, int64_t layer, int64_t) {
    return test::as_doubles(r.shares(layer).select(1, r.seen() - 1).mean(0));
  };
  policy.immunity = [start](const ScoreReference&, int64_t j) { return j < start ? 1 : 0; };
  return policy;
}

TEST(Tova, EqualsTheReferenceThatStoresEverything) {
  for (const test::ScoreCase& c : test::score_cases()) {
    test::expect_same_as_reference(*tova_method(), {.budget = 12}, naive(12), c);
    test::expect_same_as_reference(*tova_method(), {.budget = 7, .params = {{"start", "2"}}}, naive(7, 2), c);
  }
}

TEST(Tova, OneSlotLeavesPerTokenAndAllHeadsOfALayerAgree) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = test::random_ids(*decoder, 60, 2);
  const auto stream = tova_method()->open_stream(decoder, {.budget = 10});
  std::vector<std::set<int64_t>> before(2);
  bool layers_differ = false;
  for (size_t i = 0; i < ids.size(); ++i) {
    stream->feed(std::span(ids).subspan(i, 1), LogitRows::none);
    for (int64_t layer = 0; layer < 2; ++layer) {
      const auto kept = stream->kept_positions(layer, 0);
      EXPECT_EQ(kept, stream->kept_positions(layer, 1));
      std::set<int64_t> now(kept.begin(), kept.end()), gone;
      before[static_cast<size_t>(layer)].insert(static_cast<int64_t>(i));
      for (const int64_t position : before[static_cast<size_t>(layer)])
        if (!now.contains(position)) gone.insert(position);
      EXPECT_EQ(gone.size(), i < 10 ? 0u : 1u) << i;
      for (const int64_t position : now)
        EXPECT_TRUE(before[static_cast<size_t>(layer)].contains(position)) << "returned";
      before[static_cast<size_t>(layer)] = now;
    }
    layers_differ |= stream->kept_positions(0, 0) != stream->kept_positions(1, 0);
  }
  EXPECT_TRUE(layers_differ);
}

TEST(Tova, TooSmallABudgetIsAUsageError) {
  const auto decoder = test::tiny_decoder("llama_tied");
  EXPECT_NO_THROW(tova_method()->open_stream(decoder, {.budget = 1}));
  try {
    tova_method()->open_stream(decoder, {.budget = 4, .params = {{"start", "4"}}});
    ADD_FAILURE();
  } catch (const UsageError& error) {
    EXPECT_STREQ(error.what(), "[tova] budget is 4 with 4 start slots; it must be at least 5");
  }
}

}  // namespace
}  // namespace steno
