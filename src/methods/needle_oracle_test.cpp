// cache_policies, section 13.15: what a memory is worth is whether it holds the right slots. With a needle's slots
// pinned a window answers as dense does; without them it cannot, once the needle has left.
#include <gtest/gtest.h>

#include <cstdlib>

#include "memory/cache_stream.h"
#include "methods/method.h"
#include "methods/method_test_util.h"

namespace steno {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kWindow = 96, kStart = 4;

// Start, window, and positions [first, end) for ever.
class Pinned : public Retention, public Visibility {
 public:
  Pinned(int64_t first, int64_t end) : first_(first), end_(end) {}
  std::vector<int64_t> victims(const SlotTable& table, int64_t next_position) const override {
    return never_visible_again(*this, table, next_position);
  }
  const Visibility* visibility() const override { return this; }
  bool visible(int64_t query, const Slot& slot) const override {
    const int64_t j = slot.position;
    return j < kStart || query - j < kWindow || (j >= first_ && j < end_);
  }

 private:
  int64_t first_, end_;
};

TEST(NeedleOracle, PinnedSlotsAnswerAsDenseAndAWindowCannot) {
  const char* named = std::getenv("STENO_MODEL");
  const fs::path path =
      named && *named ? fs::path(named) : fs::path(STENO_SOURCE_DIR) / "models/SmolLM2-135M-Instruct.Q4_1.gguf";
  if (!fs::exists(path)) GTEST_SKIP() << "the default model is absent; 'make model' fetches it, or set STENO_MODEL";
  const Model model = load_model(path);

  const auto encode = [&](const std::string& text) { return model.tokenizer->encode(text); };
  const std::string filler =
      " The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.";
  int dense_correct = 0, pinned_correct = 0, window_correct = 0;
  for (const char* key : {"48217", "90536", "17382", "65904"}) {
    std::vector<TokenId> text = encode("There is a pass key hidden in a long text. Find it and memorize it.");
    const auto add = [&](const std::string& more) {
      const auto ids = encode(more);
      text.insert(text.end(), ids.begin(), ids.end());
    };
    for (int i = 0; i < 5; ++i) add(filler);
    const auto first = static_cast<int64_t>(text.size());
    add(fmt::format(" The pass key is {}. Remember it. {} is the pass key.", key, key));
    const auto end = static_cast<int64_t>(text.size());
    for (int i = 0; i < 12; ++i) add(filler);
    const auto question = encode(" What is the pass key? The pass key is");
    ASSERT_GT(static_cast<int64_t>(text.size()) - end, 2 * kWindow);

    const auto correct = [&](Stream& stream) {
      stream.feed(text, LogitRows::none);
      at::Tensor logits = stream.feed(question, LogitRows::last).logits;
      std::vector<TokenId> answer;
      for (int i = 0; i < 8; ++i) {
        answer.push_back(static_cast<TokenId>(logits[-1].argmax().item<int64_t>()));
        logits = stream.feed(std::span(answer).last(1), LogitRows::last).logits;
      }
      return model.tokenizer->decode(answer).find(key) != std::string::npos;
    };
    dense_correct += correct(*method_named("dense").open_stream(model.decoder, {}));
    window_correct += correct(*method_named("window").open_stream(model.decoder, {.budget = kWindow}));
    window_correct += correct(*method_named("streaming-llm").open_stream(model.decoder, {.budget = kStart + kWindow}));
    CacheStreamConfig config{.method = "pinned"};
    config.order = EvictionOrder::evict_first;
    const auto stream = open_cache_stream(model.decoder, std::make_shared<Pinned>(first, end), config);
    pinned_correct += correct(*stream);
    EXPECT_LE(stream->accounting().slots, kStart + kWindow + end - first);
    // And the method that finds them by itself.
    EXPECT_TRUE(correct(*method_named("retrieval").open_stream(model.decoder, {.budget = 256}))) << key;
  }
  EXPECT_EQ(dense_correct, 4);
  EXPECT_EQ(pinned_correct, dense_correct);
  EXPECT_EQ(window_correct, 0);
}

}  // namespace
}  // namespace steno
