#include "methods/dense/dense.h"

#include <gtest/gtest.h>

#include "methods/method_test_util.h"

namespace steno {
namespace {

class DenseModels : public testing::TestWithParam<const char*> {};

// cache_policies, section 1: cached decode equals the uncached forward.
TEST_P(DenseModels, EqualsOneForwardOverTheWholeText) {
  const auto decoder = test::tiny_decoder(GetParam());
  const auto ids = test::random_ids(*decoder, 60, 1);
  const at::Tensor expected = test::masked_forward(*decoder, ids, [](int64_t, int64_t) { return true; });
  for (const int64_t chunk : {1, 7, 64}) {
    const auto stream = dense_method()->open_stream(decoder, {.chunk_size = chunk});
    EXPECT_LE(test::relative_difference(test::feed_all(*stream, ids), expected), 1e-5) << "chunk " << chunk;
    EXPECT_EQ(stream->accounting().slots, 60);
  }
}

INSTANTIATE_TEST_SUITE_P(Dense, DenseModels, testing::Values("llama_tied", "qwen3", "gemma3", "mistral_window", "phi3"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace steno
