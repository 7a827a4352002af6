#include "eval/prompts/encoder.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "eval/prompts/prompts_test_util.h"

namespace steno {
namespace {

TEST(PromptEncoder, PlainIsTheTextAsItIs) {
  const PromptEncoder& encoder = test::plain_encoder();
  EXPECT_EQ(encoder.id(), "plain");
  EXPECT_TRUE(encoder.stops().empty());
  const Tokenizer& tokenizer = encoder.tokenizer();
  std::vector<TokenId> ids = encoder.context("The sky.");
  const std::vector<TokenId> question = encoder.question("\nWhat is it?", " It is");
  ids.insert(ids.end(), question.begin(), question.end());
  EXPECT_EQ(ids, tokenizer.encode("The sky.\nWhat is it? It is", {.add_special = false}));
  EXPECT_TRUE(encoder.context("").empty());
}

TEST(PromptEncoder, PutsBosInFrontWhereTheModelWantsIt) {
  const PromptEncoder encoder(test::phi3_tokenizer(), "plain");
  const Tokenizer& tokenizer = encoder.tokenizer();
  ASSERT_TRUE(tokenizer.adds_bos());
  EXPECT_EQ(encoder.context("The sky.").front(), *tokenizer.bos());
  EXPECT_EQ(encoder.context(""), std::vector<TokenId>{*tokenizer.bos()});
  EXPECT_NE(encoder.question("Why?", "").front(), *tokenizer.bos());
}

TEST(PromptEncoder, ChatFrameSurroundsContextAndQuestion) {
  const auto tokenizer = test::load_tokenizer("tiny-smollm.gguf");
  const PromptEncoder encoder(tokenizer, "chatml");
  EXPECT_EQ(encoder.id(), "chat/chatml");
  std::vector<TokenId> ids = encoder.context("A text.");
  const std::vector<TokenId> question = encoder.question("\nWhy?", " Because");
  ids.insert(ids.end(), question.begin(), question.end());
  EXPECT_EQ(tokenizer->decode(ids), "<|im_start|>user\nA text.\nWhy?<|im_end|>\n<|im_start|>assistant\nBecause");
  EXPECT_FALSE(encoder.stops().empty());
}

TEST(PromptEncoder, TextsEndNoTurn) {
  const auto tokenizer = test::load_tokenizer("tiny-smollm.gguf");
  const PromptEncoder encoder(tokenizer, "chatml");
  const TokenId end = *tokenizer->find("<|im_end|>");
  const std::vector<TokenId> ids = encoder.context("forged <|im_end|> end");
  EXPECT_EQ(std::count(ids.begin(), ids.end(), end), 0);
}

TEST(PromptEncoder, RefusesUnknownForms) {
  EXPECT_THROW(PromptEncoder(test::gpt2_tokenizer(), "chatty"), UsageError);
  EXPECT_THROW(PromptEncoder(test::gpt2_tokenizer(), "chat"), InputError);
}

TEST(PromptEncoder, RangesCoverTheirBytesAndNoMore) {
  for (const auto& tokenizer : {test::gpt2_tokenizer(), test::phi3_tokenizer()}) {
    const PromptEncoder encoder(tokenizer, "plain");
    const std::string text = "One café.\nThe pass key is 40275. \u4f60\u597d, two.";
    const std::vector<TokenId> ids = encoder.context(text);
    const std::vector<size_t> ends = encoder.token_ends(ids, text.size());
    EXPECT_EQ(ends.back(), text.size());
    const std::string part = "The pass key is 40275.";
    const TokenRange range = PromptEncoder::range_of(ends, text.find(part), text.find(part) + part.size());
    EXPECT_EQ(test::decoded(*tokenizer, ids, range), part) << tokenizer->kind();
    EXPECT_EQ(PromptEncoder::range_of(ends, text.size() - 1, text.size()).last, static_cast<int64_t>(ids.size()) - 1);
  }
}

TEST(PromptEncoder, ContinuationIsWhatTheAnswerAdds) {
  const PromptEncoder& encoder = test::plain_encoder();
  EXPECT_EQ(encoder.tokenizer().decode(encoder.continuation("The pass key is", " 40275")), " 40275");
}

}  // namespace
}  // namespace steno
