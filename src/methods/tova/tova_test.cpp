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

// No rule protects the first token; on a model that uses it as a sink it stays because it is attended to.
TEST(Tova, TheFirstTokenSurvivesOnAModelWithASink) {
  const char* named = std::getenv("STENO_MODEL");
  const std::filesystem::path path =
      named && *named ? std::filesystem::path(named)
                      : std::filesystem::path(STENO_SOURCE_DIR) / "models/SmolLM2-135M-Instruct.Q4_1.gguf";
  if (!std::filesystem::exists(path))
    GTEST_SKIP() << "the default model is absent; 'make model' fetches it, or set STENO_MODEL";
  const Model model = load_model(path);
  std::string text;
  for (int i = 0; i < 12; ++i)
    text += "The old house stood at the end of the lane, and nobody in the village remembered who had built it. ";
  const auto ids = model.tokenizer->encode(text);
  ASSERT_GT(ids.size(), 200u);
  const auto stream = tova_method()->open_stream(model.decoder, {.budget = 32, .chunk_size = 16});
  stream->feed(ids, LogitRows::none);
  const int64_t layers = model.decoder->config().layers;
  int64_t first = 0, second = 0;
  for (int64_t layer = 0; layer < layers; ++layer) {
    const auto kept = stream->kept_positions(layer, 0);
    first += kept[0] == 0;
    second += std::count(kept.begin(), kept.end(), 1);
  }
  EXPECT_GT(first, layers * 3 / 4) << "of " << layers;
  EXPECT_LT(second, first / 2) << "it is not that old tokens stay";
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
