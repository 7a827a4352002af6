// Perplexity has one path in the program, streaming in chunks; here it is held against a forward over the whole text
// with the methods' rules as a mask.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "eval/nll.h"
#include "methods/method_test_util.h"

namespace steno {
namespace {

// Section 1: the one-pass masked forward and streaming with eviction agree to 1e-4.
TEST(PplPaths, MaskedAndStreamingAgree) {
  for (const char* name : {"llama_tied", "qwen3", "mistral_window"}) {
    const auto decoder = test::tiny_decoder(name);
    const auto ids = test::random_ids(*decoder, 120, 3);
    const auto sum_of = [](const std::vector<double>& nll) { return std::accumulate(nll.begin() + 1, nll.end(), 0.0); };
    const auto masked = [&](const std::function<bool(int64_t, int64_t)>& visible) {
      const at::Tensor logits = test::masked_forward(*decoder, ids, visible);
      const auto nll = row_nll(logits.narrow(0, 0, 119), std::span(ids).subspan(1));
      return std::accumulate(nll.begin(), nll.end(), 0.0);
    };
    for (const int64_t chunk : {1, 16, 512}) {
      const auto streamed = [&](const std::string& method, FieldValues params) {
        const Method& m = method_named(method);
        const auto stream = m.open_stream(decoder, {.budget = 20, .chunk_size = chunk, .params = std::move(params)});
        return sum_of(read_nll(*stream, m, ids, {}, {}));
      };
      const double dense = streamed("dense", {}), window = streamed("window", {}),
                   sinks = streamed("streaming-llm", {{"sinks", "4"}, {"positions", "gaps"}, {"order", "evict-first"}});
      const double dense_masked = masked([](int64_t, int64_t) { return true; });
      const double window_masked = masked([](int64_t i, int64_t j) { return i - j < 20; });
      const double sinks_masked = masked([](int64_t i, int64_t j) { return j < 4 || i - j < 16; });
      EXPECT_NEAR(dense / dense_masked, 1, 1e-4) << name << " chunk " << chunk;
      EXPECT_NEAR(window / window_masked, 1, 1e-4) << name << " chunk " << chunk;
      EXPECT_NEAR(sinks / sinks_masked, 1, 1e-4) << name << " chunk " << chunk;
      // The test means something: the rules differ (unless the model's own window is narrower than both).
      if (std::string(name) != "mistral_window") {
        EXPECT_GT(std::abs(window / sinks_masked - 1), 1e-4) << name;
      }
    }
  }
}

}  // namespace
}  // namespace steno
