#include "methods/window/window.h"

#include <gtest/gtest.h>

#include "methods/method_test_util.h"

namespace steno {
namespace {

using test::feed_all;
using test::masked_forward;
using test::relative_difference;

StreamOptions window(int64_t w, const std::string& order, int64_t chunk) {
  return {.budget = w, .chunk_size = chunk, .params = {{"order", order}}};
}

class WindowModels : public testing::TestWithParam<const char*> {
 protected:
  std::shared_ptr<const Decoder> decoder_ = test::tiny_decoder(GetParam());
};

// cache_policies, sections 2 and 13.1: V(i, j) = i - j < w for evict-first, i - j <= w for attend-first.
TEST_P(WindowModels, EqualsTheMaskedForwardOfItsOrderAtAnyChunking) {
  const auto ids = test::random_ids(*decoder_, 50, 2);
  for (const int64_t w : {1, 2, 5, 16}) {
    const at::Tensor evict_first = masked_forward(*decoder_, ids, [w](int64_t i, int64_t j) { return i - j < w; });
    const at::Tensor attend_first = masked_forward(*decoder_, ids, [w](int64_t i, int64_t j) { return i - j <= w; });
    // Once a model's own window is the smaller one, the orders are the same.
    const int64_t own = decoder_->config().kinds.back().window;
    const bool differ = own == 0 || w < own;
    for (const int64_t chunk : {1, 3, 7, 16, 64}) {
      const auto by = [&](const char* order) {
        return feed_all(*window_method()->open_stream(decoder_, window(w, order, chunk)), ids);
      };
      EXPECT_LE(relative_difference(by("evict-first"), evict_first), 1e-5) << "w " << w << " chunk " << chunk;
      EXPECT_LE(relative_difference(by("attend-first"), attend_first), 1e-5) << "w " << w << " chunk " << chunk;
      if (!differ) continue;
      EXPECT_GT(relative_difference(by("evict-first"), attend_first), 1e-3) << "w " << w << " chunk " << chunk;
      EXPECT_GT(relative_difference(by("attend-first"), evict_first), 1e-3) << "w " << w << " chunk " << chunk;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Window, WindowModels, testing::Values("llama_tied", "qwen3", "gemma3", "mistral_window"),
                         [](const auto& info) { return std::string(info.param); });

// A token that reads itself alone: no text before it matters.
TEST(Window, OfOneTokenForgetsEverything) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = test::random_ids(*decoder, 20, 3);
  const auto stream = window_method()->open_stream(decoder, window(1, "evict-first", 6));
  const at::Tensor logits = feed_all(*stream, ids);
  for (size_t i = 0; i < ids.size(); ++i) {
    const at::Tensor alone =
        masked_forward(*decoder, std::span(ids).subspan(i, 1), [](int64_t, int64_t) { return true; });
    EXPECT_LE(relative_difference(logits[static_cast<int64_t>(i)], alone[0]), 1e-5) << i;
  }
  EXPECT_EQ(stream->kept_positions(0, 0), (std::vector<int64_t>{19}));
  EXPECT_EQ(stream->accounting().dropped_ranges, (std::vector<std::pair<int64_t, int64_t>>{{0, 18}}));
}

TEST(Window, WrongOrdersAreUsageErrors) {
  const auto decoder = test::tiny_decoder("llama_tied");
  EXPECT_THROW(window_method()->open_stream(decoder, window(4, "first", 0)), UsageError);
}

TEST(Window, TheLongestWindowKeepsEverythingInBothOrders) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = test::random_ids(*decoder, 20, 3);
  for (const char* order : {"evict-first", "attend-first"}) {
    const auto stream = window_method()->open_stream(decoder, window(std::numeric_limits<int64_t>::max(), order, 6));
    feed_all(*stream, ids);
    EXPECT_EQ(stream->accounting().slots, 20) << order;
  }
}

// Dynamic scaling looks at the positions in use, and those are ranks in the window however long the text is.
TEST(Window, DynamicScalingSeesRanks) {
  const auto decoder = test::tiny_decoder("llama_rope_dynamic");
  const auto ids = test::random_ids(*decoder, 100, 5);
  ASSERT_LT(decoder->config().rope.original_max_positions, 100);
  for (const bool evict_first : {true, false}) {
    const at::Tensor expected = test::PackedReference(*decoder, 0, 9, evict_first).read(ids);
    for (const int64_t chunk : {1, 5, 16}) {
      const auto stream =
          window_method()->open_stream(decoder, window(9, evict_first ? "evict-first" : "attend-first", chunk));
      EXPECT_LE(relative_difference(feed_all(*stream, ids), expected), 1e-4) << chunk;
    }
  }
}

// Text far beyond the trained positions: only differences of positions matter, so a token reads the same at the end of
// a long text as at the start of a short one.
TEST(Window, WorksFarBeyondTheTrainedPositions) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = test::random_ids(*decoder, 1000, 4);
  ASSERT_GT(1000, decoder->config().max_positions);
  const int64_t w = 6, layers = decoder->config().layers;
  const auto stream = window_method()->open_stream(decoder, window(w, "evict-first", 32));
  const at::Tensor logits = feed_all(*stream, ids);
  // What the last token can depend on: w - 1 more tokens per layer.
  const int64_t reach = layers * (w - 1) + 1;
  const at::Tensor tail =
      masked_forward(*decoder, std::span(ids).last(reach), [w](int64_t i, int64_t j) { return i - j < w; });
  EXPECT_LE(relative_difference(logits[-1], tail[-1]), 1e-5);
  EXPECT_EQ(stream->accounting().dropped_ranges, (std::vector<std::pair<int64_t, int64_t>>{{0, 993}}));
}

}  // namespace
}  // namespace steno
