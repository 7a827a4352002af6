#include "eval/prompts/reconstruct.h"

#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "base/error.h"
#include "eval/prompts/prompts_test_util.h"

namespace steno {
namespace {

using test::plain_encoder;

ReconstructPrompt build(const ReconstructSpec& spec, uint64_t seed = 3) {
  return build_reconstruct(plain_encoder(), test::prose(), spec, seed);
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
      const ReconstructPrompt built = build({.kind = kind, .tokens = n, .before = "Text: ", .trigger = "\nAgain: "});
      EXPECT_EQ(static_cast<int64_t>(built.expected.size()), n);
      const TokenRange range = built.prompt.needles.at(0);
      EXPECT_EQ(range.last - range.first + 1, n);
      EXPECT_EQ(std::vector<TokenId>(built.prompt.context_ids.begin() + range.first, built.prompt.context_ids.end()),
                built.expected);
      EXPECT_EQ(built.max_new_tokens, (n * 12 + 9) / 10 + 10);
      EXPECT_EQ(built.prompt.context, "Text: " + built.prompt.references.at(0));
      EXPECT_EQ(plain_encoder().tokenizer().decode(built.prompt.question_ids), "\nAgain: ");
    }
}

TEST(Reconstruct, HintIsNotScored) {
  const ReconstructPrompt built = build({.tokens = 40, .trigger = "\n", .hint_tokens = 4});
  EXPECT_EQ(built.expected.size(), 36u);
  EXPECT_EQ(built.prompt.context, built.prompt.answer_prefix + built.prompt.references[0]);
  EXPECT_EQ(built.prompt.question_ids.size(), 1u + 4);
  EXPECT_EQ(built.max_new_tokens, 44 + 10);  // ceil(43.2) + 10
  EXPECT_THROW(build({.tokens = 4, .hint_tokens = 4}), UsageError);
}

TEST(Reconstruct, TriggerCanBeAToken) {
  const ReconstructPrompt built = build({.tokens = 16, .trigger = "<|endoftext|>"});
  EXPECT_EQ(built.prompt.question_ids, std::vector<TokenId>{*plain_encoder().tokenizer().find("<|endoftext|>")});
}

TEST(Reconstruct, ShufflingKeepsWordsAndLosesOrder) {
  const std::string natural = build({.kind = TextKind::natural, .tokens = 60}).prompt.context;
  const std::string shuffled = build({.kind = TextKind::shuffled, .tokens = 60}).prompt.context;
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

TEST(Reconstruct, SeedDecidesAndTheTriggerDoesNot) {
  for (const TextKind kind : {TextKind::natural, TextKind::shuffled, TextKind::random}) {
    EXPECT_EQ(build({.kind = kind, .trigger = "a"}, 1).expected, build({.kind = kind, .trigger = "b"}, 1).expected);
    EXPECT_NE(build({.kind = kind}, 1).expected, build({.kind = kind}, 4).expected);
  }
}

}  // namespace
}  // namespace steno
