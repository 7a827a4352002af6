// Limit cases of cache_policies, section 9 (R3, R4).
#include "methods/recompute/recompute.h"

#include <gtest/gtest.h>

#include <numeric>

#include "methods/method_test_util.h"

namespace steno {
namespace {

using test::feed_all;
using test::relative_difference;
using test::same_bits;

StreamOptions recompute(int64_t budget, int64_t start, int64_t block, int64_t chunk = 16) {
  return {.budget = budget,
          .chunk_size = chunk,
          .params = {{"start", std::to_string(start)}, {"block", std::to_string(block)}}};
}

// The tokens that the one at `position` reads, from the definition.
std::vector<int64_t> window_of(int64_t position, int64_t budget, int64_t start, int64_t block) {
  int64_t begin = 0;
  if (position >= budget) {
    begin = budget;
    while (position >= begin + block) begin += block;
  }
  std::vector<int64_t> read;
  for (int64_t j = 0; j <= position; ++j)
    if (begin == 0 || j < start || j >= begin - (budget - block - start)) read.push_back(j);
  return read;
}

// Every token by a forward of its own, over exactly the tokens it reads and nothing cached. Logits [T, V].
at::Tensor by_forwards(const Decoder& decoder, const std::vector<TokenId>& ids, int64_t budget, int64_t start,
                       int64_t block) {
  std::vector<at::Tensor> logits;
  for (int64_t i = 0; i < static_cast<int64_t>(ids.size()); ++i) {
    std::vector<TokenId> read;
    for (const int64_t j : window_of(i, budget, start, block)) read.push_back(ids[static_cast<size_t>(j)]);
    logits.push_back(test::masked_forward(decoder, read, [](int64_t, int64_t) { return true; })[-1]);
  }
  return at::stack(logits);
}

class RecomputeModels : public testing::TestWithParam<const char*> {};

TEST_P(RecomputeModels, EveryTokenEqualsAForwardOverItsWindow) {
  const auto decoder = test::tiny_decoder(GetParam());
  const auto ids = test::random_ids(*decoder, 45, 1);
  struct Sizes {
    int64_t budget, start, block;
  };
  for (const auto& [budget, start, block] : {Sizes{12, 0, 1}, {12, 0, 4}, {12, 3, 5}, {9, 8, 1}, {10, 4, 6}}) {
    const at::Tensor expected = by_forwards(*decoder, ids, budget, start, block);
    for (const int64_t chunk : {1, 7, 64}) {
      const auto stream = recompute_method()->open_stream(decoder, recompute(budget, start, block, chunk));
      EXPECT_LE(relative_difference(feed_all(*stream, ids), expected), 1e-5)
          << budget << " " << start << " " << block << " chunk " << chunk;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Recompute, RecomputeModels, testing::Values("llama_tied", "qwen3", "gemma3", "mistral_window"),
                         [](const auto& info) { return std::string(info.param); });

// What is fed without logits is read when someone asks, and gives the same numbers.
TEST(Recompute, ReadsOnlyWhatIsAskedFor) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = test::random_ids(*decoder, 120, 2);
  const at::Tensor expected = by_forwards(*decoder, ids, 12, 2, 4);
  Random random(3);
  const auto stream = recompute_method()->open_stream(decoder, recompute(12, 2, 4));
  for (size_t fed = 0; fed < ids.size();) {
    const size_t count = std::min<size_t>(1 + random.below(20), ids.size() - fed);
    const LogitRows rows = random.below(2) == 0 ? LogitRows::none : LogitRows::last;
    const FeedResult result = stream->feed(std::span(ids).subspan(fed, count), rows);
    fed += count;
    EXPECT_EQ(stream->kept_positions(0, 0), window_of(static_cast<int64_t>(fed) - 1, 12, 2, 4));
    if (rows == LogitRows::none) continue;
    EXPECT_LE(relative_difference(result.logits[0], expected[static_cast<int64_t>(fed) - 1]), 1e-5) << fed;
  }
}

TEST(Recompute, MemoryIsTheTextOfTheWindowBetweenQuestions) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = test::random_ids(*decoder, 1000, 4);
  const auto stream = recompute_method()->open_stream(decoder, recompute(20, 4, 5, 64));
  stream->feed(std::span(ids).first(998), LogitRows::none);
  // 998 = 20 + 195 * 5 + 3: three tokens of a block, and 15 before it.
  Accounting a = stream->accounting();
  EXPECT_EQ(a.slots, 18);
  EXPECT_EQ(a.slots_by_role, (std::map<std::string, int64_t>{{"start", 4}, {"recent", 14}}));
  EXPECT_EQ(a.memory_bytes, 18 * 4);
  EXPECT_EQ(a.peak_slots, 20);
  stream->feed(std::span(ids).subspan(998, 1), LogitRows::last);
  a = stream->accounting();
  const int64_t slot_bytes = decoder->config().slot_bytes(4);
  EXPECT_EQ(a.memory_bytes, 19 * (4 + slot_bytes));
  EXPECT_GE(a.allocated_bytes, 20 * slot_bytes);
  // The next block but one: nothing of the old keys and values is held any more.
  stream->feed(std::span(ids).first(7), LogitRows::none);
  EXPECT_EQ(stream->accounting().memory_bytes, stream->accounting().slots * 4);
}

TEST(Recompute, WrongSizesAreUsageErrors) {
  const auto decoder = test::tiny_decoder("llama_tied");
  EXPECT_THROW(recompute_method()->open_stream(decoder, recompute(8, 4, 5)), UsageError);
  EXPECT_NO_THROW(recompute_method()->open_stream(decoder, recompute(9, 4, 5)));
  EXPECT_THROW(recompute_method()->open_stream(decoder, recompute(8, -1, 5)), UsageError);
  EXPECT_THROW(recompute_method()->open_stream(decoder, recompute(8, 0, -1)), UsageError);
  EXPECT_THROW(recompute_method()->open_stream(decoder, recompute(8, std::numeric_limits<int64_t>::max(), 1)),
               UsageError);
}

}  // namespace
}  // namespace steno
