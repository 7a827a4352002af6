// Slots that are taken out of a memory by hand: for every method of the registry.
#include <gtest/gtest.h>

#include <set>

#include "base/files_test_util.h"
#include "methods/learned_test_util.h"
#include "methods/method.h"
#include "methods/method_test_util.h"

namespace steno {
namespace {

using test::feed_all;
using test::same_bits;

constexpr int64_t kRead = 40, kMore = 20;

class Forget : public testing::TestWithParam<const Method*> {
 protected:
  std::unique_ptr<Stream> open(int64_t budget) const { return GetParam()->open_stream(decoder_, options(budget)); }
  StreamOptions options(int64_t budget) const {
    return {.budget = budget, .chunk_size = 16, .params = test::learned(*GetParam(), "llama_tied")};
  }
  // Positions that some layer or head holds.
  std::set<int64_t> held(const Stream& stream) const {
    std::set<int64_t> all;
    for (int64_t layer = 0; layer < decoder_->config().layers; ++layer)
      for (int64_t head = 0; head < decoder_->config().kv_heads; ++head)
        for (const int64_t position : stream.kept_positions(layer, head)) all.insert(position);
    return all;
  }

  std::shared_ptr<const Decoder> decoder_ = test::tiny_decoder("llama_tied");
  std::vector<TokenId> ids_ = test::random_ids(*decoder_, kRead, 1), more_ = test::random_ids(*decoder_, kMore, 2);
};

// With room for everything a memory without some slots reads what one forward reads under a mask without them.
TEST_P(Forget, IsAMaskOverWhatFollows) {
  const auto stream = open(kRead + kMore);
  feed_all(*stream, ids_);
  const std::set<int64_t> gone = {5, 17, 18, 39};
  const std::vector<int64_t> positions = {39, 5, 18, 17, 5};  // in any order, and twice
  if (!stream->forget(positions)) GTEST_SKIP() << GetParam()->name() << " cannot";
  EXPECT_EQ(stream->tokens_seen(), kRead);
  EXPECT_EQ(stream->accounting().slots, kRead - 4);
  EXPECT_EQ(stream->accounting().dropped_ranges,
            (std::vector<std::pair<int64_t, int64_t>>{{5, 5}, {17, 18}, {39, 39}}));
  for (const int64_t position : gone) EXPECT_FALSE(held(*stream).contains(position));

  std::vector<TokenId> all = ids_;
  all.insert(all.end(), more_.begin(), more_.end());
  const at::Tensor expected =
      test::masked_forward(*decoder_, all, [&](int64_t i, int64_t j) { return i < kRead || !gone.contains(j); });
  const auto fork = stream->fork();
  EXPECT_LE(test::relative_difference(feed_all(*stream, more_), expected.narrow(0, kRead, kMore)), 1e-4);
  EXPECT_LE(test::relative_difference(feed_all(*fork, more_, 1), expected.narrow(0, kRead, kMore)), 1e-4);
}

// Under a small budget: done wholly or not at all.
TEST_P(Forget, AllOrNothing) {
  const int64_t budget = std::max<int64_t>(16, GetParam()->smallest_budget() + 8);
  const auto stream = open(budget), untouched = open(budget);
  feed_all(*stream, ids_);
  feed_all(*untouched, ids_);
  const std::set<int64_t> before = held(*stream);
  const std::vector<int64_t> positions = {*before.rbegin(), *std::next(before.rbegin()), kRead + 100};
  if (stream->forget(positions)) {
    std::set<int64_t> left = before;
    for (const int64_t position : positions) left.erase(position);
    EXPECT_EQ(held(*stream), left);
    EXPECT_EQ(stream->accounting().slots, untouched->accounting().slots - 2);
    // It can be kept, and goes on within its budget.
    const std::string path = test::program_file("forget_" + GetParam()->name() + ".safetensors");
    stream->save(path);
    const auto loaded = open(budget);
    loaded->load(path);
    EXPECT_TRUE(same_bits(feed_all(*loaded, more_, 3), feed_all(*stream, more_, 3)));
    EXPECT_EQ(held(*loaded), held(*stream));
    EXPECT_LE(stream->accounting().slots, GetParam()->expected_slots(options(budget), kRead + kMore));
  } else {
    EXPECT_EQ(held(*stream), before);
    EXPECT_TRUE(same_bits(feed_all(*stream, more_), feed_all(*untouched, more_)));
  }
}

TEST_P(Forget, NothingIsAlwaysPossibleWhereSomethingIs) {
  const auto stream = open(kRead), untouched = open(kRead);
  feed_all(*stream, ids_);
  feed_all(*untouched, ids_);
  if (!stream->forget({})) GTEST_SKIP() << GetParam()->name() << " cannot";
  EXPECT_EQ(stream->accounting().slots, untouched->accounting().slots);
  EXPECT_TRUE(same_bits(feed_all(*stream, more_), feed_all(*untouched, more_)));
}

INSTANTIATE_TEST_SUITE_P(AllMethods, Forget, testing::ValuesIn(methods()), [](const auto& info) {
  std::string name = info.param->name();
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

// Which streams can: those that keep the decoder's keys and values, as long as the sets of slots allow it.
TEST(ForgetSupport, CachesCanAndTextMemoriesCannot) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = test::random_ids(*decoder, 20, 1);
  const auto can = [&](const std::string& name, const std::vector<int64_t>& positions) {
    const auto stream = method_named(name).open_stream(decoder, {.budget = 64});
    feed_all(*stream, ids);
    return stream->forget(positions);
  };
  for (const char* name : {"dense", "window", "streaming-llm", "h2o", "snapkv", "tova", "fifo", "lra", "lfa"})
    EXPECT_TRUE(can(name, {9, 12})) << name;
  for (const char* name : {"recompute", "retrieval", "bigbird"}) EXPECT_FALSE(can(name, {9})) << name;
  EXPECT_FALSE(can("streaming-llm", {2, 9})) << "the start stays";
}

}  // namespace
}  // namespace steno
