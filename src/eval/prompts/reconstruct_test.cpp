#include "eval/prompts/reconstruct.h"

#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "base/error.h"
#include "eval/prompts/prompts_test_util.h"

namespace steno {
namespace {

using test::plain_encoder;

ReconstructPrompt build(const ReconstructSpec& spec, uint64_t seed = 3, const std::string& trigger = "",
                        int64_t demonstrations = 2) {
  const CopyFrame frame = copy_frame(plain_encoder().tokenizer(), "plain", demonstrations, trigger);
  return build_reconstruct(plain_encoder(), test::prose(), frame, spec, seed);
}

std::multiset<std::string> words_of(const std::string& text) {
  std::istringstream in(text);
  std::multiset<std::string> words;
  for (std::string word; in >> word;) words.insert(word);
  return words;
}

TEST(Reconstruct, TextHasExactlyTheAskedTokens) {
  for (const TextKind kind : {TextKind::natural, TextKind::shuffled, TextKind::random})
    for (const int64_t n : {16, 64, 300}) {
      const ReconstructPrompt built = build({.kind = kind, .tokens = n});
      EXPECT_EQ(static_cast<int64_t>(built.expected.size()), n);
      const TokenRange range = built.prompt.needles.at(0);
      EXPECT_EQ(range.last - range.first + 1, n);
      EXPECT_EQ(std::vector<TokenId>(built.prompt.context_ids.begin() + range.first, built.prompt.context_ids.end()),
                built.expected);
      EXPECT_EQ(built.max_new_tokens, (n * 12 + 9) / 10 + 10);
      EXPECT_TRUE(built.prompt.context.ends_with("\n\nText:\n" + built.prompt.references.at(0)));
      EXPECT_EQ(test::count_of(built.prompt.context, built.prompt.references[0]), 1u);
      EXPECT_EQ(plain_encoder().tokenizer().decode(built.prompt.question_ids), "\nCopy:\n");
    }
}

TEST(Reconstruct, HintIsNotScored) {
  const ReconstructPrompt built = build({.tokens = 40, .hint_tokens = 4}, 3, "", 0);
  EXPECT_EQ(built.expected.size(), 36u);
  EXPECT_EQ(built.prompt.context, built.prompt.answer_prefix + built.prompt.references[0]);
  EXPECT_EQ(plain_encoder().tokenizer().decode(built.prompt.question_ids), "\n\n" + built.prompt.answer_prefix);
  EXPECT_EQ(built.max_new_tokens, 44 + 10);  // ceil(43.2) + 10
  EXPECT_THROW(build({.tokens = 4, .hint_tokens = 4}), UsageError);
}

TEST(Reconstruct, TextCanBeReadSeveralTimes) {
  const ReconstructPrompt built = build({.tokens = 20, .readings = 3}, 3, "", 0);
  const std::string& text = built.prompt.references.at(0);
  EXPECT_EQ(built.prompt.context, text + "\n\n" + text + "\n\n" + text);
  ASSERT_EQ(built.prompt.needles.size(), 3u);
  for (const TokenRange& range : built.prompt.needles)
    EXPECT_EQ(test::decoded(plain_encoder().tokenizer(), built.prompt.context_ids, range), text);
  EXPECT_THROW(build({.readings = 0}), UsageError);
}

TEST(Reconstruct, TriggerCanBeAToken) {
  const ReconstructPrompt built = build({.tokens = 16}, 3, "<|endoftext|>", 0);
  EXPECT_EQ(built.prompt.question_ids, std::vector<TokenId>{*plain_encoder().tokenizer().find("<|endoftext|>")});
  EXPECT_EQ(built.prompt.context_ids, built.expected);
}

TEST(CopyFrame, ShowsCopiesInTheModelsOwnForm) {
  const auto tokenizer = test::load_tokenizer("tiny-smollm.gguf");
  const CopyFrame frame = copy_frame(*tokenizer, "chatml", 1, "");
  const std::string text = "marble the under 731 window of quickly Trent basket seven";
  EXPECT_EQ(frame.before, "<|im_start|>user\n" + text + "<|im_end|>\n<|im_start|>assistant\n" + text +
                              "<|im_end|>\n<|im_start|>user\n");
  EXPECT_EQ(frame.after, "<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(tokenizer->decode(frame.before_ids), frame.before);
  EXPECT_EQ(frame.before_ids.front(), *tokenizer->find("<|im_start|>"));
  EXPECT_THROW(copy_frame(*tokenizer, "plain", 7, ""), UsageError);
  EXPECT_THROW(copy_frame(*tokenizer, "poem", 0, ""), UsageError);
}

TEST(Reconstruct, ShufflingKeepsWordsAndLosesOrder) {
  const std::string natural = build({.kind = TextKind::natural, .tokens = 60}, 3, "", 0).prompt.context;
  const std::string shuffled = build({.kind = TextKind::shuffled, .tokens = 60}, 3, "", 0).prompt.context;
  EXPECT_NE(natural, shuffled);
  const auto a = words_of(natural), b = words_of(shuffled);
  std::vector<std::string> shared;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(shared));
  EXPECT_GT(shared.size(), a.size() / 2);
}

TEST(Reconstruct, RandomTokensAreSpread) {
  const ReconstructPrompt built = build({.kind = TextKind::random, .tokens = 500});
  EXPECT_GT(std::set<TokenId>(built.expected.begin(), built.expected.end()).size(), 480u);
  for (const TokenId id : built.expected) EXPECT_FALSE(plain_encoder().tokenizer().is_special(id));
}

TEST(Reconstruct, SeedDecidesAndTheFrameDoesNot) {
  for (const TextKind kind : {TextKind::natural, TextKind::shuffled, TextKind::random}) {
    EXPECT_EQ(build({.kind = kind}, 1, "a").expected, build({.kind = kind}, 1, "b", 6).expected);
    EXPECT_NE(build({.kind = kind}, 1).expected, build({.kind = kind}, 4).expected);
  }
}

TEST(NamesIn, AreLargeWordsInsideSentences) {
  const std::vector<std::string> expected = {"Dinah", "Alice", "London"};
  EXPECT_EQ(names_in("The cat Dinah saw Alice. Then I, and Dinah, left London! Where? \"Home,\" they said."), expected);
  EXPECT_TRUE(names_in("Only the first word. Again so.").empty());
}

}  // namespace
}  // namespace steno
