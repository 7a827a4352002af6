#include "eval/prompts/passkey.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "eval/prompts/prompts_test_util.h"
#include "metrics/passkey_match.h"

namespace steno {
namespace {

using test::count_of;
using test::plain_encoder;

TEST(Passkey, IsTheStandardText) {
  const BuiltPrompt prompt = build_passkey(plain_encoder(), Filler::repeated(), {.length = 200, .depth = 0}, 1);
  const std::string key = prompt.references.at(0);
  EXPECT_EQ(prompt.context.substr(0, prompt.context.find("The grass")),
            "There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. I will quiz "
            "you about the important information there.\n\nThe pass key is " +
                key + ". Remember it. " + key + " is the pass key.\n");
  EXPECT_EQ(prompt.question + prompt.answer_prefix, "\nWhat is the pass key? The pass key is");
}

// Length, depth and place, for both fillers and two kinds of tokenizer.
TEST(Passkey, HasTheAskedLengthAndDepth) {
  for (const auto& tokenizer : {test::gpt2_tokenizer(), test::phi3_tokenizer()}) {
    const PromptEncoder encoder(tokenizer, "plain");
    for (const Filler& filler : {Filler::repeated(), test::prose()}) {
      for (const int64_t length : {256, 1024, 3000}) {
        for (const double depth : {0.0, 10.0, 33.0, 50.0, 90.0, 100.0}) {
          SCOPED_TRACE(fmt::format("{} {} length {} depth {}", tokenizer->kind(), filler.name(), length, depth));
          const PasskeySpec spec{.length = length, .depth = depth, .digits = 5};
          const BuiltPrompt prompt = build_passkey(encoder, filler, spec, 5);
          EXPECT_LE(prompt.tokens(), length);
          EXPECT_GE(prompt.tokens(), length - 1);
          const std::string key = prompt.references.at(0);
          EXPECT_EQ(count_of(prompt.context, key), 2u);  // it is stated twice, in its own sentence
          EXPECT_EQ(count_of(prompt.question + prompt.answer_prefix, key), 0u);
          ASSERT_EQ(prompt.needles.size(), 1u);
          EXPECT_EQ(test::decoded(*tokenizer, prompt.context_ids, prompt.needles[0]),
                    "The pass key is " + key + ". Remember it. " + key + " is the pass key.");

          const size_t begin = prompt.context.find("The pass key is " + key);
          const std::string task = prompt.context.substr(0, prompt.context.find('\n') + 1);
          const std::string before = prompt.context.substr(task.size(), begin - task.size());
          const std::string after = prompt.context.substr(prompt.context.find(" is the pass key.") + 17);
          const auto tokens = [&](const std::string& text) { return static_cast<double>(encoder.text(text).size()); };
          const double all = tokens(before) + tokens(after);
          // Half of the longest sentence of these fillers, and the line ends.
          const double allowed = (filler.name() == "repeated" ? 4.0 : 17.0) + 2;
          EXPECT_LE(std::abs(tokens(before) - depth / 100 * all), allowed);
          EXPECT_EQ(before == "\n", depth == 0);
          EXPECT_EQ(after == "\n", depth == 100);
        }
      }
    }
  }
}

TEST(Passkey, StandsWhereASentenceBegins) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const BuiltPrompt prompt =
        build_passkey(plain_encoder(), test::prose(), {.length = 400, .depth = 40, .digits = 5}, seed);
    const size_t begin = prompt.context.find("The pass key is");
    EXPECT_EQ(prompt.context[begin - 1], '\n');
    EXPECT_NE(std::string(".!?\"").find(prompt.context[begin - 2]), std::string::npos) << prompt.context;
  }
}

TEST(Passkey, SeedDecides) {
  const PasskeySpec spec{.length = 500, .depth = 30, .distractors = 3};
  const auto ids = [&](uint64_t seed) { return build_passkey(plain_encoder(), test::prose(), spec, seed).context_ids; };
  EXPECT_EQ(ids(1), ids(1));
  EXPECT_NE(ids(1), ids(2));
}

TEST(Passkey, KeysAreInRange) {
  std::set<std::string> keys;
  int64_t largest = 0;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const int64_t key =
        std::stoll(build_passkey(plain_encoder(), Filler::repeated(), {.length = 150}, seed).references.at(0));
    EXPECT_GE(key, 1);
    EXPECT_LE(key, 50000);
    largest = std::max(largest, key);
    keys.insert(std::to_string(key));
    const std::string five =
        build_passkey(plain_encoder(), Filler::repeated(), {.length = 150, .digits = 5}, seed).references.at(0);
    EXPECT_EQ(five.size(), 5u);
    EXPECT_NE(five[0], '0');
  }
  EXPECT_GT(largest, 45000);
  EXPECT_GT(keys.size(), 190u);
}

TEST(Passkey, DistractorsHaveOtherLabelsAndOtherNumbers) {
  const BuiltPrompt prompt =
      build_passkey(plain_encoder(), Filler::repeated(), {.length = 700, .digits = 5, .distractors = 4}, 3);
  EXPECT_EQ(count_of(prompt.context, "Remember it."), 5u);
  EXPECT_EQ(count_of(prompt.context, "pass key."), 1u);
  EXPECT_EQ(count_of(prompt.context, prompt.references[0]), 2u);
  EXPECT_GE(prompt.tokens(), 699);
}

TEST(Passkey, TurnsEndWhereLinesDo) {
  const BuiltPrompt prompt = build_passkey(plain_encoder(), Filler::repeated(),
                                           {.length = 800, .depth = 50, .digits = 5, .turn_tokens = 30}, 3);
  EXPECT_GE(prompt.tokens(), 799);
  ASSERT_GT(prompt.utterance_ends.size(), 15u);
  EXPECT_EQ(prompt.utterance_ends.back(), static_cast<int64_t>(prompt.context_ids.size()));
  int64_t from = 0;
  bool key_is_a_turn = false;
  for (const int64_t end : prompt.utterance_ends) {
    ASSERT_GT(end, from);
    EXPECT_LE(end - from, 45);
    const std::string turn = test::decoded(plain_encoder().tokenizer(), prompt.context_ids, {from, end - 1});
    if (turn.starts_with("The pass key is") && turn.ends_with("is the pass key.\n")) key_is_a_turn = true;
    EXPECT_LE(count_of(turn, "\n"), 1u);
    from = end;
  }
  EXPECT_TRUE(key_is_a_turn);
}

TEST(Passkey, RefusesWhatMakesNoSense) {
  const auto build = [](const PasskeySpec& spec) { build_passkey(plain_encoder(), Filler::repeated(), spec, 1); };
  EXPECT_THROW(build({.length = 20}), InputError);
  EXPECT_THROW(build({.depth = 101}), UsageError);
  EXPECT_THROW(build({.digits = 19}), UsageError);
  EXPECT_THROW(build({.distractors = 13}), UsageError);
  EXPECT_THROW(build({.turn_tokens = -1}), UsageError);
}

// Whatever one-digit key is drawn stands in this filler.
TEST(Passkey, RefusesAFillerThatHoldsEveryKey) {
  const Filler digits = Filler::natural("digits", {"It is 1 or 2 or 3 or 4 or 5 or 6 or 7 or 8 or 9 here."});
  EXPECT_THROW(build_passkey(plain_encoder(), digits, {.length = 300, .digits = 1}, 1), InputError);
}

}  // namespace
}  // namespace steno
