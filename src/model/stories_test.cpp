// A trained model, small enough to lie in the repository, tells the story it is known for.
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include "model/model_test_util.h"

namespace steno {
namespace {

using namespace test;

TEST(Stories, GreedyTextFromBos) {
  const c10::InferenceMode inference;
  const Model model =
      load_model(std::filesystem::path(STENO_SOURCE_DIR) / "tests/data/stories260K", {.dtype = at::kFloat});
  const std::string expected =
      "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. "
      "One day, she saw a big, red ball.";
  // The model's own way to cut its text is the tokenizer's, so as many tokens lead through it.
  const std::vector<TokenId> known = model.tokenizer->encode(expected);
  ASSERT_EQ(known.front(), model.tokenizer->bos().value());
  std::vector<int64_t> ids = {known.front()};
  while (ids.size() < known.size()) {
    const at::Tensor logits = model.decoder->run(input_of(as_ids(ids), LogitRows::last)).logits;
    ids.push_back(logits.flatten().argmax().item<int64_t>());
  }
  EXPECT_EQ(model.tokenizer->decode(std::vector<TokenId>(ids.begin() + 1, ids.end())), expected);
  EXPECT_EQ(model.tokenizer->vocab_size(), 512);
}

}  // namespace
}  // namespace steno
