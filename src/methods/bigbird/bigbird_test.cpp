// Limit cases of cache_policies, sections 4 and 13 (1, 3, 12, 13).
#include "methods/bigbird/bigbird.h"

#include <gtest/gtest.h>

#include <set>

#include "methods/bigbird/columns.h"
#include "methods/method_test_util.h"

namespace steno {
namespace {

using test::feed_all;
using test::masked_forward;
using test::relative_difference;
using test::same_bits;

StreamOptions bigbird(const BigBirdSizes& sizes, const std::string& draw, int64_t chunk) {
  return {.budget = sizes.budget(),
          .chunk_size = chunk,
          .params = {{"globals", std::to_string(sizes.globals)},
                     {"random", std::to_string(sizes.random)},
                     {"draw", draw},
                     {"seed", std::to_string(sizes.seed)}}};
}

std::function<bool(int64_t, int64_t)> visible(const Visibility& rule) {
  return [&rule](int64_t i, int64_t j) { return rule.visible(i, {.position = j}); };
}

class BigBirdModels : public testing::TestWithParam<const char*> {
 protected:
  std::shared_ptr<const Decoder> decoder_ = test::tiny_decoder(GetParam());
};

// Rows are copied out of the bank from 2 * 12 tokens on (single tokens) and later for chunks: 150 tokens see both.
TEST_P(BigBirdModels, EqualsTheMaskedForwardAtAnyChunking) {
  const auto ids = test::random_ids(*decoder_, 150, 2);
  // Layers with a window of their own do not look where draws are.
  const auto& kinds = decoder_->config().kinds;
  const bool reads_far =
      std::any_of(kinds.begin(), kinds.end(), [](const LayerKind& kind) { return kind.window == 0; });
  for (const BigBirdSizes& sizes :
       {BigBirdSizes{7, 1, 4, 0}, BigBirdSizes{1, 0, 2, 5}, BigBirdSizes{5, 2, 0, 0}, BigBirdSizes{30, 3, 9, 1}}) {
    const DrawnByQuery by_query(sizes);
    const DrawnByKey by_key(sizes);
    const at::Tensor expected = masked_forward(*decoder_, ids, visible(by_query));
    const at::Tensor expected_by_key = masked_forward(*decoder_, ids, visible(by_key));
    for (const int64_t chunk : {1, 3, 7, 16, 150}) {
      const auto by = [&](const char* draw) {
        return feed_all(*bigbird_method()->open_stream(decoder_, bigbird(sizes, draw, chunk)), ids);
      };
      EXPECT_LE(relative_difference(by("query"), expected), 1e-5) << sizes.window << " chunk " << chunk;
      EXPECT_LE(relative_difference(by("key"), expected_by_key), 1e-5) << sizes.window << " chunk " << chunk;
    }
    // Another seed is another rule, or the draws would not matter.
    BigBirdSizes other = sizes;
    other.seed += 1;
    const at::Tensor elsewhere = feed_all(*bigbird_method()->open_stream(decoder_, bigbird(other, "query", 16)), ids);
    if (sizes.random > 0 && reads_far) {
      EXPECT_GT(relative_difference(elsewhere, expected), 1e-3);
    }
    if (sizes.random == 0) {
      EXPECT_LE(relative_difference(elsewhere, expected), 1e-5);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(BigBird, BigBirdModels, testing::Values("llama_tied", "qwen3", "gemma3", "mistral_window"),
                         [](const auto& info) { return std::string(info.param); });

TEST(BigBird, ReadsItsSpecification) {
  const BigBirdSizes sizes{6, 2, 5, 3};
  const DrawnByQuery rule(sizes);
  int64_t drawn = 0;
  for (int64_t i = 0; i < 2000; ++i) {
    std::set<int64_t> read;
    for (int64_t j = 0; j <= i; ++j)
      if (rule.visible(i, {.position = j})) read.insert(j);
    EXPECT_LE(static_cast<int64_t>(read.size()), std::min(i + 1, sizes.budget())) << i;
    for (int64_t j = std::max<int64_t>(0, i - 5); j <= i; ++j) EXPECT_TRUE(read.contains(j)) << i << " " << j;
    for (int64_t j = 0; j < std::min<int64_t>(2, i + 1); ++j) EXPECT_TRUE(read.contains(j)) << i << " " << j;
    if (i < sizes.budget()) {
      EXPECT_EQ(static_cast<int64_t>(read.size()), i + 1);
      continue;
    }
    const auto far = rule.far_columns(i), draws = rule.draws(i);
    std::set<int64_t> listed(far.begin(), far.end());
    EXPECT_EQ(listed.size(), far.size());
    for (int64_t j = i - 5; j <= i; ++j) EXPECT_TRUE(listed.insert(j).second);
    EXPECT_EQ(listed, read) << i;
    for (const int64_t j : draws) EXPECT_TRUE(j >= 2 && j <= i) << i << " " << j;
    drawn += static_cast<int64_t>(draws.size());
  }
  // Five draws with replacement seldom meet in long texts, and they reach all of it.
  EXPECT_GT(drawn, (2000 - 13) * 4);
  std::set<int64_t> reached;
  for (int64_t i = 1000; i < 2000; ++i)
    for (const int64_t j : rule.draws(i)) reached.insert(j * 10 / (i + 1));
  EXPECT_EQ(reached.size(), 10u);
}

// Whatever the chunks: a token decoded alone draws what it would have drawn in a chunk, so the logits agree, and copies
// of rows that stay between steps are those of the bank.
TEST(BigBird, DecodingReadsTheSameColumnsAsReading) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = test::random_ids(*decoder, 200, 3);
  const BigBirdSizes sizes{8, 1, 3, 0};
  const at::Tensor expected = masked_forward(*decoder, ids, visible(DrawnByQuery(sizes)));
  const auto stream = bigbird_method()->open_stream(decoder, bigbird(sizes, "query", 64));
  Random random(4);
  for (size_t fed = 0; fed < ids.size();) {
    const size_t count = std::min<size_t>(random.below(3) > 0 ? 1 : 1 + random.below(30), ids.size() - fed);
    const at::Tensor logits = stream->feed(std::span(ids).subspan(fed, count), LogitRows::last).logits[0];
    fed += count;
    EXPECT_LE(relative_difference(logits, expected[static_cast<int64_t>(fed) - 1]), 1e-5) << fed;
  }
}

TEST(BigBird, StoresAllSlots) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = test::random_ids(*decoder, 300, 3);
  const auto stream = bigbird_method()->open_stream(decoder, bigbird({8, 1, 3, 0}, "query", 64));
  stream->feed(ids, LogitRows::none);
  const Accounting a = stream->accounting();
  EXPECT_EQ(a.slots, 300);
  EXPECT_EQ(a.dropped_tokens, 0);
  EXPECT_EQ(a.slots_by_role, (std::map<std::string, int64_t>{{"global", 1}, {"recent", 8}, {"stored", 291}}));
}

// draw=key is a policy that evicts: what it holds is what the rule shows to the last token, about w + g + r slots.
TEST(BigBird, DrawnByKeySlotsStayFewInExpectation) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = test::random_ids(*decoder, 1500, 3);
  double extra = 0;
  for (uint64_t seed = 0; seed < 8; ++seed) {
    const BigBirdSizes sizes{8, 1, 6, seed};
    const StreamOptions options = bigbird(sizes, "key", 128);
    const auto stream = bigbird_method()->open_stream(decoder, options);
    stream->feed(ids, LogitRows::none);
    const DrawnByKey rule(sizes);
    std::vector<int64_t> expected;
    for (int64_t j = 0; j < 1500; ++j)
      if (rule.visible(1499, {.position = j})) expected.push_back(j);
    EXPECT_EQ(stream->kept_positions(0, 0), expected);
    EXPECT_EQ(bigbird_method()->expected_slots(options, 1500), static_cast<int64_t>(expected.size()));
    EXPECT_EQ(stream->accounting().dropped_tokens, 1500 - static_cast<int64_t>(expected.size()));
    extra += static_cast<double>(expected.size()) - 9;
  }
  // 48 in expectation, a deviation of about 7.
  EXPECT_GT(extra, 48 - 28);
  EXPECT_LT(extra, 48 + 28);
}

TEST(BigBird, HiddenKeysStayHidden) {
  const BigBirdSizes sizes{4, 1, 5, 9};
  const DrawnByKey rule(sizes);
  for (int64_t j = 0; j < 300; ++j)
    for (int64_t i = j + 1; i < 300; ++i)
      if (rule.visible(i, {.position = j})) {
        EXPECT_TRUE(rule.visible(i - 1, {.position = j})) << i << " " << j;
      }
}

TEST(BigBird, WrongParametersAreUsageErrors) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto open = [&](int64_t budget, const FieldValues& params) {
    return bigbird_method()->open_stream(decoder, {.budget = budget, .params = params});
  };
  EXPECT_THROW(open(5, {}), UsageError);
  EXPECT_NO_THROW(open(6, {}));
  EXPECT_THROW(open(64, {{"draw", "row"}}), UsageError);
  EXPECT_THROW(open(64, {{"random", "-1"}}), UsageError);
  EXPECT_THROW(open(64, {{"globals", "9223372036854775807"}}), UsageError);
}

}  // namespace
}  // namespace steno
