// What all methods that evict by attention received have in common (cache_policies, sections 0 and 13).
#include <gtest/gtest.h>

#include "base/files_test_util.h"
#include "methods/method.h"
#include "methods/method_test_util.h"

namespace steno {
namespace {

using test::feed_all;
using test::same_bits;

class ScoreMethods : public testing::TestWithParam<const char*> {
 protected:
  const Method& method() const { return method_named(GetParam()); }
  std::unique_ptr<Stream> open(int64_t budget, int64_t chunk, FieldValues params = {}) const {
    return method().open_stream(decoder_, {.budget = budget, .chunk_size = chunk, .params = std::move(params)});
  }
  int64_t budget() const { return std::max<int64_t>(12, method().smallest_budget() + 4); }

  std::shared_ptr<const Decoder> decoder_ = test::tiny_decoder("llama_tied");
};

// Memory is that of the budget and one chunk, however long the text.
TEST_P(ScoreMethods, MemoryOfALongTextStaysFlat) {
  constexpr int64_t kChunk = 512, kBudget = 64, kTokens = 32768;
  const auto ids = test::random_ids(*decoder_, kTokens, 1);
  for (const char* positions : {"gaps", "packed"}) {
    const auto stream = open(kBudget, kChunk, {{"positions", positions}});
    int64_t allocated = 0;
    for (int64_t fed = 0; fed < kTokens; fed += 4096) {
      stream->feed(std::span(ids).subspan(static_cast<size_t>(fed), 4096), LogitRows::none);
      const Accounting a = stream->accounting();
      EXPECT_EQ(a.slots, kBudget);
      EXPECT_EQ(a.peak_slots, kBudget + kChunk);
      if (fed == 0) allocated = a.allocated_bytes;
      EXPECT_EQ(a.allocated_bytes, allocated) << positions << " after " << fed + 4096;
    }
    const int64_t slot = decoder_->config().slot_bytes(4);
    EXPECT_LE(allocated, (kBudget + kChunk) * slot * 5 / 2);  // keys turned to ranks, and queries, besides
  }
}

// The published way to read a prompt costs the memory of the whole prompt, and the account says so.
TEST_P(ScoreMethods, AFeedThatIsCutAtItsEndPeaksAtItsLength) {
  const auto ids = test::random_ids(*decoder_, 100, 2);
  const auto stream = open(budget(), 16, {{"cut", "feed"}});
  const at::Tensor logits = feed_all(*stream, ids);
  EXPECT_EQ(stream->accounting().peak_slots, 100);
  EXPECT_EQ(stream->accounting().slots, budget());
  EXPECT_EQ(stream->accounting().reading.find("every feed whole in chunks of 16, then one cut"), 0u);
  // Until the cut it reads as dense does.
  const auto dense = method_named("dense").open_stream(decoder_, {.chunk_size = 16});
  EXPECT_LE(test::relative_difference(logits, feed_all(*dense, ids)), 1e-6);
}

TEST_P(ScoreMethods, TheAccountNamesTheReading) {
  EXPECT_EQ(open(budget(), 512)->accounting().reading.find("chunks of 512, cut after every chunk"), 0u);
  EXPECT_EQ(open(budget(), 1)->accounting().reading.find("one token at a time, cut after every token"), 0u);
}

// Dropped is what no layer and head holds any more.
TEST_P(ScoreMethods, DroppedTokensAreThoseThatNobodyHolds) {
  const auto ids = test::random_ids(*decoder_, 100, 3);
  const auto stream = open(budget(), 8);
  stream->feed(ids, LogitRows::none);
  std::vector<bool> held(100, false);
  for (int64_t layer = 0; layer < 2; ++layer)
    for (int64_t head = 0; head < 2; ++head)
      for (const int64_t position : stream->kept_positions(layer, head)) held[static_cast<size_t>(position)] = true;
  const Accounting a = stream->accounting();
  EXPECT_EQ(a.dropped_tokens, std::count(held.begin(), held.end(), false));
  for (const auto& [first, last] : a.dropped_ranges)
    for (int64_t position = first; position <= last; ++position) EXPECT_FALSE(held[static_cast<size_t>(position)]);
}

// What the contract test does with default parameters, with packed positions and both ways to cut.
TEST_P(ScoreMethods, ForksAndSavedStreamsContinueInEveryMode) {
  const auto ids = test::random_ids(*decoder_, 60, 4), more = test::random_ids(*decoder_, 25, 5);
  for (const char* positions : {"gaps", "packed"}) {
    for (const char* cut : {"chunk", "feed"}) {
      const FieldValues params = {{"positions", positions}, {"cut", cut}};
      const auto original = open(budget(), 16, params);
      feed_all(*original, ids, 7);
      const auto fork = original->fork();
      const std::string path = test::program_file(std::string("score_methods_") + GetParam() + ".safetensors");
      original->save(path);
      const auto loaded = open(budget(), 16, params);
      feed_all(*loaded, more);
      loaded->load(path);
      const at::Tensor expected = feed_all(*original, more, 3);
      EXPECT_TRUE(same_bits(feed_all(*fork, more, 3), expected)) << positions << " " << cut;
      EXPECT_TRUE(same_bits(feed_all(*loaded, more, 3), expected)) << positions << " " << cut;
      for (int64_t layer = 0; layer < 2; ++layer) {
        for (int64_t head = 0; head < 2; ++head) {
          EXPECT_EQ(fork->kept_positions(layer, head), original->kept_positions(layer, head));
          EXPECT_EQ(loaded->kept_positions(layer, head), original->kept_positions(layer, head));
        }
      }
      const auto other = open(budget(), 16, {{"positions", positions[0] == 'g' ? "packed" : "gaps"}, {"cut", cut}});
      EXPECT_THROW(other->load(path), InputError);
    }
  }
}

// Gaps and packed differ once something is gone, and not before.
TEST_P(ScoreMethods, PackedAndGapsPartWhenTheMemoryIsFull) {
  const auto ids = test::random_ids(*decoder_, 80, 6);
  const at::Tensor gaps = feed_all(*open(budget(), 8, {{"positions", "gaps"}}), ids, 8);
  const at::Tensor packed = feed_all(*open(budget(), 8, {{"positions", "packed"}}), ids, 8);
  const int64_t full = (budget() / 8 + 1) * 8;
  EXPECT_LE(test::relative_difference(packed.narrow(0, 0, full), gaps.narrow(0, 0, full)), 1e-5);
  EXPECT_GT(test::relative_difference(packed.narrow(0, full, 80 - full), gaps.narrow(0, full, 80 - full)), 1e-3);
}

TEST_P(ScoreMethods, WrongModesAreUsageErrors) {
  EXPECT_THROW(open(budget(), 8, {{"positions", "ranks"}}), UsageError);
  EXPECT_THROW(open(budget(), 8, {{"cut", "never"}}), UsageError);
  EXPECT_THROW(open(budget(), 8, {{"start", "-1"}}), UsageError);
}

INSTANTIATE_TEST_SUITE_P(All, ScoreMethods, testing::Values("tova", "h2o", "snapkv", "fifo", "lra", "lfa"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace steno
