#include "eval/prompts/needle.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "eval/prompts/prompts_test_util.h"
#include "metrics/string_match.h"

namespace steno {
namespace {

using test::count_of;
using test::plain_encoder;

NeedlePrompt build(const NeedleSpec& spec, uint64_t seed = 1) {
  return build_needle(plain_encoder(), test::prose(), spec, seed);
}

TEST(Needle, TakesTheLengthWithoutItsBuffer) {
  for (const auto& tokenizer : {test::gpt2_tokenizer(), test::phi3_tokenizer()}) {
    const PromptEncoder encoder(tokenizer, "plain");
    for (const int64_t length : {400, 1000, 3000}) {
      for (const double depth : {0.0, 25.0, 50.0, 77.0, 100.0}) {
        for (const bool standard : {false, true}) {
          const NeedlePrompt needle =
              build_needle(encoder, test::prose(), {.length = length, .depth = depth, .standard = standard}, 4);
          const int64_t context = static_cast<int64_t>(needle.prompt.context_ids.size()) - encoder.head_tokens();
          EXPECT_LE(context, length - 200);
          EXPECT_GE(context, length - 201);
          EXPECT_LE(needle.prompt.tokens(), length);
        }
      }
    }
  }
}

TEST(Needle, StandsBehindThePeriodBeforeItsDepth) {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    const NeedlePrompt needle = build({.length = 1200, .depth = 60}, seed);
    const std::string& text = needle.prompt.context;
    const std::string found =
        test::decoded(plain_encoder().tokenizer(), needle.prompt.context_ids, needle.prompt.needles.at(0));
    const std::string sentence = found.substr(found.find_first_not_of(' '));
    EXPECT_EQ(count_of(text, sentence), 1u);
    EXPECT_EQ(text.substr(text.find(sentence) - 2, 2), ". ");
    const double depth = static_cast<double>(text.find(sentence)) / static_cast<double>(text.size() - sentence.size());
    EXPECT_LE(depth, 0.62);
    EXPECT_GE(depth, 0.45);  // a sentence of the prose is at most 8 % of the text away, two without a period token
  }
}

TEST(Needle, EndsOfTheDepthScale) {
  EXPECT_TRUE(build({.length = 700, .depth = 0}).prompt.context.starts_with("The secret number that "));
  const NeedlePrompt last = build({.length = 700, .depth = 100});
  EXPECT_TRUE(last.prompt.context.ends_with(" is " + last.prompt.references[0] + "."));
}

TEST(Needle, StandardNeedleIsScoredByItsKeyWords) {
  const NeedlePrompt needle = build({.length = 700, .depth = 50, .standard = true});
  EXPECT_EQ(count_of(needle.prompt.context,
                     "The best thing to do in San Francisco is eat a sandwich and sit in Dolores "
                     "Park on a sunny day."),
            1u);
  const auto correct = [&](const char* answer) { return keyword_recall(answer, needle.keywords) == 1; };
  EXPECT_TRUE(correct(" to sit in Dolores Park with a sandwich."));
  EXPECT_FALSE(correct(" to eat sandwiches in Dolores Park."));
  EXPECT_FALSE(correct(""));
  EXPECT_EQ(keyword_recall("Eat a sandwich and sit in Dolores Park on a sunny day.", needle.recall), 1);
  EXPECT_NEAR(keyword_recall("Sit in the park.", needle.recall), 2.0 / 7, 1e-12);
}

TEST(Needle, AnswerIsAbsentFromTheQuestion) {
  for (const NeedleKind kind :
       {NeedleKind::single, NeedleKind::multi_key, NeedleKind::multi_value, NeedleKind::multi_query})
    for (uint64_t seed = 0; seed < 5; ++seed) {
      const NeedlePrompt needle = build({.length = 1500, .kind = kind, .needles = 4}, seed);
      for (const std::string& value : needle.prompt.references) {
        EXPECT_EQ(count_of(needle.prompt.question + needle.prompt.answer_prefix, value), 0u);
        EXPECT_EQ(count_of(needle.prompt.context, value), 1u);
      }
    }
}

TEST(MultiNeedle, KindsAskForWhatTheySay) {
  const auto make = [](NeedleKind kind) { return build({.length = 1500, .kind = kind, .needles = 4}, 2); };
  const NeedlePrompt key = make(NeedleKind::multi_key), value = make(NeedleKind::multi_value),
                     query = make(NeedleKind::multi_query);
  for (const NeedlePrompt* prompt : {&key, &value, &query}) {
    EXPECT_EQ(prompt->prompt.needles.size(), 4u);
    std::set<int64_t> places;
    for (const TokenRange& range : prompt->prompt.needles) places.insert(range.first);
    EXPECT_EQ(places.size(), 4u);
  }
  EXPECT_EQ(key.prompt.references.size(), 1u);
  EXPECT_EQ(value.prompt.references.size(), 4u);
  EXPECT_EQ(query.prompt.references.size(), 4u);
  EXPECT_EQ(count_of(value.prompt.question, " wrote on the "), 1u);
  EXPECT_EQ(count_of(query.prompt.question, " wrote on the "), 4u);
  // Names of the asked keys stand in the needles' own sentences.
  EXPECT_EQ(count_of(key.prompt.context, "The secret number that "), 4u);
}

TEST(Needle, SeedDecides) {
  EXPECT_EQ(build({.length = 600}, 1).prompt.context_ids, build({.length = 600}, 1).prompt.context_ids);
  EXPECT_NE(build({.length = 600}, 1).prompt.references, build({.length = 600}, 2).prompt.references);
}

TEST(Needle, RefusesWhatMakesNoSense) {
  EXPECT_THROW(build({.length = 210}), InputError);
  EXPECT_THROW(build({.depth = -1}), UsageError);
  EXPECT_THROW(build({.standard = true, .kind = NeedleKind::multi_key, .needles = 3}), UsageError);
  EXPECT_THROW(build({.kind = NeedleKind::multi_key, .needles = 17}), UsageError);
  EXPECT_THROW(needle_kind_named("many"), UsageError);
}

}  // namespace
}  // namespace steno
