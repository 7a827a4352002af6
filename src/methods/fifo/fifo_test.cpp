#include "methods/fifo/fifo.h"

#include <gtest/gtest.h>

#include "methods/score_reference_test_util.h"

namespace steno {
namespace {

using test::ScoreReference;

test::NaivePolicy naive(int64_t budget, int64_t start) {
  test::NaivePolicy policy{.budget = budget};
  policy.scores = [](const ScoreReference& r, int64_t, int64_t) {
    std::vector<double> born;
    for (int64_t j = 0; j < r.seen(); ++j) born.push_back(static_cast<double>(j));
    return born;
  };
  policy.immunity = [start](const ScoreReference&, int64_t j) { return j < start ? 1 : 0; };
  return policy;
}

TEST(Fifo, EqualsTheReferenceThatStoresEverything) {
  for (const test::ScoreCase& c : test::score_cases()) {
    test::expect_same_as_reference(*fifo_method(), {.budget = 12}, naive(12, 4), c);
    test::expect_same_as_reference(*fifo_method(), {.budget = 9, .params = {{"start", "0"}}}, naive(9, 0), c);
  }
}

// Token by token it is StreamingLLM with as many sinks, in both position modes, and the window without a start.
TEST(Fifo, TokenByTokenItIsStreamingLlm) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = test::random_ids(*decoder, 60, 2);
  for (const char* positions : {"gaps", "packed"}) {
    for (const char* start : {"0", "4"}) {
      const auto fifo = fifo_method()->open_stream(
          decoder, {.budget = 10, .chunk_size = 1, .params = {{"positions", positions}, {"start", start}}});
      const auto other =
          method_named("streaming-llm")
              .open_stream(decoder, {.budget = 10, .params = {{"positions", positions}, {"sinks", start}}});
      EXPECT_LE(test::relative_difference(test::feed_all(*fifo, ids), test::feed_all(*other, ids)), 1e-4)
          << positions << " " << start;
      EXPECT_EQ(fifo->kept_positions(1, 0), other->kept_positions(1, 0));
    }
  }
}

TEST(Fifo, ChunksAreAQuarterOfTheBudgetUnlessAskedFor) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto chunk = [&](int64_t budget, int64_t asked) {
    return fifo_method()->open_stream(decoder, {.budget = budget, .chunk_size = asked})->chunk_size();
  };
  EXPECT_EQ(chunk(256, 0), 64);
  EXPECT_EQ(chunk(100000, 0), 512);
  EXPECT_EQ(chunk(5, 0), 1);
  EXPECT_EQ(chunk(256, 300), 300);
  EXPECT_THROW(fifo_method()->open_stream(decoder, {.budget = 4}), UsageError);
}

}  // namespace
}  // namespace steno
