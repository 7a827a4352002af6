#include "eval/prompts/dialogue.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "eval/prompts/prompts_test_util.h"

namespace steno {
namespace {

using test::count_of;
using test::plain_encoder;

const std::vector<Turn> kTalk = {
    {"Ann", "Hello!"}, {"Bob", "Hi Ann,\nhow are you?"}, {"Ann", "Fine."}, {"Bob", "Good."}};

TEST(Reply, HasTheTurnsBeforeItAsContext) {
  const BuiltPrompt prompt = build_reply(plain_encoder(), kTalk, 3);
  EXPECT_EQ(prompt.context, "Ann: Hello!\nBob: Hi Ann, how are you?\nAnn: Fine.\n");
  EXPECT_EQ(plain_encoder().tokenizer().decode(prompt.context_ids), prompt.context);
  EXPECT_EQ(plain_encoder().tokenizer().decode(prompt.question_ids), "Bob:");
  EXPECT_EQ(prompt.references, std::vector<std::string>{"Good."});
  ASSERT_EQ(prompt.utterance_ends.size(), 3u);
  EXPECT_EQ(prompt.utterance_ends.back(), static_cast<int64_t>(prompt.context_ids.size()));
  EXPECT_EQ(test::decoded(plain_encoder().tokenizer(), prompt.context_ids, {0, prompt.utterance_ends[0] - 1}),
            "Ann: Hello!\n");
  EXPECT_THROW(build_reply(plain_encoder(), kTalk, 0), InputError);
  EXPECT_THROW(build_reply(plain_encoder(), kTalk, 4), InputError);
}

const std::vector<std::string> kFiller = {"It rained all day.", "Did it?", "Yes, and the roof leaks.", "Oh no.",
                                          "My number is 12345."};

// The last two are no pair: another dialogue begins there.
const ProbeTexts kTexts = {kFiller, {0, 1, 2}};

ProbePrompt build(const ProbeSpec& spec, uint64_t seed = 9) { return build_probe(plain_encoder(), kTexts, spec, seed); }

int64_t turns(const BuiltPrompt& prompt) { return static_cast<int64_t>(prompt.utterance_ends.size()) - 1; }

TEST(Probe, RecallKeepsItsAge) {
  for (const int64_t age : {0, 1, 2, 5, 50}) {
    const ProbePrompt probe = build({.age = age});
    EXPECT_EQ(turns(probe.prompt), 1 + age);
    const std::string& value = probe.prompt.references.at(0);
    EXPECT_EQ(count_of(probe.prompt.context, value), 1u);
    EXPECT_EQ(count_of(probe.prompt.question + probe.prompt.answer_prefix, value), 0u);
    const std::string told =
        test::decoded(plain_encoder().tokenizer(), probe.prompt.context_ids, probe.prompt.needles.at(0));
    EXPECT_TRUE(told.starts_with("User: By the way, my ") && told.ends_with(value + ".\n")) << told;
    EXPECT_EQ(probe.prompt.needles[0].last + 1, probe.prompt.utterance_ends[1]);
    // Speakers take turns.
    EXPECT_EQ(probe.prompt.context.find("\nAssistant: ") != std::string::npos, age >= 1);
  }
}

TEST(Probe, UpdateAsksForTheLatest) {
  const ProbePrompt probe = build({.kind = ProbeKind::update, .age = 3});
  EXPECT_EQ(turns(probe.prompt), 2 + 2 * 3);
  EXPECT_NE(probe.stale, probe.prompt.references[0]);
  EXPECT_LT(probe.prompt.context.find(probe.stale), probe.prompt.context.find(probe.prompt.references[0]));
  EXPECT_EQ(probe.prompt.needles.size(), 1u);
}

TEST(Probe, MultiAsksForOneOfSeveral) {
  std::set<std::string> asked;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const ProbePrompt probe = build({.kind = ProbeKind::multi, .age = 2, .facts = 8}, seed);
    EXPECT_EQ(turns(probe.prompt), 8 + 2);
    EXPECT_EQ(count_of(probe.prompt.context, "By the way, my "), 8u);
    EXPECT_EQ(probe.prompt.needles.size(), 1u);
    asked.insert(std::to_string(probe.prompt.needles[0].first / 20));
    const std::string thing = probe.prompt.answer_prefix.substr(6, probe.prompt.answer_prefix.size() - 9);
    EXPECT_EQ(count_of(probe.prompt.context, "my " + thing + " is " + probe.prompt.references[0]), 1u);
  }
  EXPECT_GT(asked.size(), 3u);
}

TEST(Probe, NegativeWasNeverStated) {
  const ProbePrompt probe = build({.kind = ProbeKind::negative, .age = 4, .facts = 3, .answer_prefix = false});
  EXPECT_TRUE(probe.prompt.references.empty());
  EXPECT_TRUE(probe.prompt.needles.empty());
  EXPECT_EQ(count_of(probe.prompt.context, "By the way, my "), 2u);
  const std::string thing = probe.prompt.question.substr(17, probe.prompt.question.find('?') - 17);
  EXPECT_EQ(count_of(probe.prompt.context, thing), 0u) << thing;
  EXPECT_TRUE(probe.prompt.question.ends_with("\nAssistant:"));
}

TEST(Probe, AttributionNamesTheEndsOfUtterances) {
  const ProbePrompt probe = build({.kind = ProbeKind::attribution, .age = 3}), recall = build({.age = 3});
  EXPECT_EQ(probe.prompt.context, recall.prompt.context);
  EXPECT_TRUE(recall.removals.empty());
  ASSERT_EQ(probe.removals.size(), 2u);
  EXPECT_EQ(probe.removals[0].name, "without_ends");
  EXPECT_EQ(probe.removals[1].name, "without_fact_end");
  EXPECT_EQ(probe.removals[0].positions.size(), 5u);  // opening, fact, three turns
  for (const int64_t position : probe.removals[0].positions)
    EXPECT_EQ(test::decoded(plain_encoder().tokenizer(), probe.prompt.context_ids, {position, position}), "\n");
  EXPECT_EQ(probe.removals[1].positions, std::vector<int64_t>{probe.prompt.utterance_ends[1] - 1});
}

const ProbeTexts kTalkative = {
    {"Where did you spend the summer holidays?", "In a small village by the lake.", "Yes.",
     "Did you like the food they served?", "The soup was better than the fish.", "It rained all day, every day.",
     "We read all the books we had.", "I would rather have gone to town."},
    {0, 3, 4, 5}};

TEST(Probe, ResponseRecallAsksAnEarlyQueryAgain) {
  std::set<std::string> asked;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const ProbePrompt probe = build_probe(plain_encoder(), kTalkative, {.kind = ProbeKind::response, .age = 3}, seed);
    EXPECT_EQ(turns(probe.prompt), 2 + 3);
    const std::string& response = probe.prompt.references.at(0);
    EXPECT_EQ(count_of(probe.prompt.context, response), 1u);
    EXPECT_EQ(count_of(probe.prompt.question, response), 0u);
    EXPECT_TRUE(probe.prompt.question.ends_with("\nAssistant:"));
    const std::string query = probe.prompt.question.substr(6, probe.prompt.question.find('\n') - 6);
    EXPECT_EQ(count_of(probe.prompt.context, "User: " + query + "\nAssistant: " + response + "\n"), 1u);
    EXPECT_EQ(test::decoded(plain_encoder().tokenizer(), probe.prompt.context_ids, probe.prompt.needles.at(0)),
              "Assistant: " + response + "\n");
    asked.insert(query);
    // The two belong together, and neither is a word or two.
    const auto at = std::find(kTalkative.turns.begin(), kTalkative.turns.end(), query);
    ASSERT_NE(at, kTalkative.turns.end());
    EXPECT_EQ(*std::next(at), response);
    EXPECT_GT(response.size(), 20u);
  }
  EXPECT_GT(asked.size(), 1u);
  EXPECT_THROW(build_probe(plain_encoder(), {kTalkative.turns, {}}, {.kind = ProbeKind::response}, 1), InputError);
}

TEST(Probe, AnUtteranceIsToBeSaidAgain) {
  const ProbePrompt probe = build_probe(plain_encoder(), kTalkative, {.kind = ProbeKind::utterance}, 4);
  const std::string& said = probe.prompt.references.at(0);
  EXPECT_EQ(turns(probe.prompt), 9);  // four with their repetition, and one
  EXPECT_EQ(count_of(probe.prompt.context, said), 1u);
  EXPECT_TRUE(probe.prompt.context.ends_with("User: " + said + "\n"));
  EXPECT_EQ(probe.prompt.question, "Assistant:");
  // All of it but its end is taken out.
  ASSERT_EQ(probe.removals.size(), 1u);
  const std::vector<int64_t>& gone = probe.removals[0].positions;
  EXPECT_EQ(gone.front(), probe.prompt.needles[0].first);
  EXPECT_EQ(gone.back(), probe.prompt.utterance_ends.back() - 2);
  EXPECT_EQ(static_cast<int64_t>(gone.size()), probe.prompt.needles[0].last - probe.prompt.needles[0].first);
}

TEST(Probe, SeedDecides) {
  EXPECT_EQ(build({.age = 5}, 1).prompt.context, build({.age = 5}, 1).prompt.context);
  EXPECT_NE(build({.age = 5}, 1).prompt.references, build({.age = 5}, 2).prompt.references);
}

TEST(Probe, RefusesWhatMakesNoSense) {
  EXPECT_THROW(build({.age = -1}), UsageError);
  EXPECT_THROW(build({.kind = ProbeKind::multi, .facts = 9}), UsageError);
  EXPECT_THROW(build_probe(plain_encoder(), {}, {}, 1), InputError);
  EXPECT_THROW(probe_kind_named("recal"), UsageError);
}

TEST(SaysUnknown, NeedsAPhraseAndNoNumber) {
  EXPECT_TRUE(says_unknown(" I don't know your badge number."));
  EXPECT_TRUE(says_unknown("You haven\u2019t told me."));
  EXPECT_TRUE(says_unknown("That is UNKNOWN to me"));
  EXPECT_FALSE(says_unknown("I am not sure, maybe 12345?"));
  EXPECT_FALSE(says_unknown("It is blue."));
  EXPECT_FALSE(says_unknown(""));
}

}  // namespace
}  // namespace steno
