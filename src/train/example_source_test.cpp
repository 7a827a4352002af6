#include "train/example_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <map>
#include <set>

#include "base/error.h"
#include "base/fields.h"
#include "base/files_test_util.h"
#include "io/tokenizer.h"
#include "train/cut_text.h"
#include "train/token_shards.h"

namespace steno {
namespace {

using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

using Parts = std::vector<std::vector<TokenId>>;

std::shared_ptr<const Tokenizer> stories_tokenizer() {
  static const auto tokenizer =
      Tokenizer::from_json(std::string(STENO_SOURCE_DIR) + "/tests/data/stories260K/tokenizer.json");
  return tokenizer;
}

std::vector<TokenId> ids(const std::string& text) {
  return stories_tokenizer()->encode(text, {.add_special = false, .parse_special = false});
}

std::filesystem::path eval_data(const std::string& name) {
  return std::filesystem::path(STENO_SOURCE_DIR) / "tests/data/eval" / name;
}

// All examples of an epoch, in the order of the files.
std::multiset<Parts> epoch(const ExampleSource& source, uint64_t seed = 1, uint64_t epoch = 0) {
  std::multiset<Parts> parts;
  const auto size = static_cast<uint64_t>(source.size());
  for (uint64_t i = 0; i < size; ++i) parts.insert(source.at(epoch * size + i, seed).parts);
  return parts;
}

std::string texts(const std::vector<std::string>& values) {
  std::string lines;
  for (const std::string& value : values) lines += Json({{"text", value}}).dump() + "\n";
  return lines;
}

TEST(CutText, CoversTheTextInNearlyEqualPieces) {
  EXPECT_TRUE(rc::check([] {
    const auto tokens = *rc::gen::inRange<int64_t>(0, 5000), limit = *rc::gen::inRange<int64_t>(0, 300);
    const auto pieces = cut_text(tokens, limit);
    int64_t at = 0, longest = 0;
    for (const auto& [begin, count] : pieces) {
      RC_ASSERT(begin == at);
      RC_ASSERT(count > 0 || tokens == 0);
      at += count;
      longest = std::max(longest, count);
    }
    RC_ASSERT(at == tokens);
    const bool fits = limit == 0 ? pieces.size() == 1 : longest <= limit;
    RC_ASSERT(fits);
    if (limit > 0 && tokens > 0) RC_ASSERT(static_cast<int64_t>(pieces.size()) <= (tokens + limit - 1) / limit);
  }));
}

TEST(Examples, TextsQuestionsAndDialogues) {
  const TemporaryFolder folder;
  const auto text = folder.file("a.txt", "Once upon a time.");
  const auto lines =
      folder.file("b.jsonl", std::string(R"({"text":"<s> is text here."})") + "\n" +
                                 R"({"context":"A cat.","question":"Who?","answers":["A cat","cat"]})" + "\n" +
                                 R"({"context":"A cat.","question":"Why?","answers":["","No"]})" + "\n" +
                                 R"({"context":"A cat.","question":"When?","answers":[]})" + "\n" +
                                 R"({"context":"A dog.","qas":[{"question":"Who?","answers":["It"]}]})" + "\n" +
                                 R"({"input":"A hen.","prompt":"Name it.","answer":"Hen"})" + "\n" +
                                 R"({"utterances":[{"speaker":"A","text":"Hi."},{"text":"Ho."}]})" + "\n");
  const auto source = open_examples({text, lines}, stories_tokenizer(), {});
  const std::multiset<Parts> expected = {{ids("Once upon a time.")},
                                         {ids("<s> is text here.")},
                                         {ids("A cat."), ids("Who?"), ids("A cat")},
                                         {ids("A cat."), ids("Why?"), ids("No")},
                                         {ids("A dog."), ids("Who?"), ids("It")},
                                         {ids("A hen."), ids("Name it."), ids("Hen")},
                                         {ids("A: Hi.\nHo.")}};
  EXPECT_EQ(epoch(*source), expected);
  const Json summary = source->summary();
  EXPECT_EQ(summary["examples"], 7);
  EXPECT_EQ(summary["texts"], 3);
  EXPECT_EQ(summary["questions"], 4);
  EXPECT_EQ(summary["files"][1]["unanswered"], 1);
  EXPECT_EQ(summary["files"][1]["name"], "b.jsonl");
}

TEST(Examples, RandomAnswersComeAllAndAreFixedForASample) {
  const TemporaryFolder folder;
  const auto path = folder.file("a.jsonl", R"({"context":"C","question":"Q","answers":["one","two","three"]})");
  const auto first = open_examples({path}, stories_tokenizer(), {});
  const auto random = open_examples({path}, stories_tokenizer(), {.answer = "random"});
  std::map<std::vector<TokenId>, int> seen;
  for (uint64_t sample = 0; sample < 60; ++sample) {
    EXPECT_EQ(first->at(sample, 5).parts[2], ids("one"));
    EXPECT_EQ(random->at(sample, 5).parts, random->at(sample, 5).parts);
    ++seen[random->at(sample, 5).parts[2]];
  }
  EXPECT_EQ(seen.size(), 3u);
}

TEST(Examples, CuttingAndJoiningLoseNothing) {
  const TemporaryFolder folder;
  const TokenId eos = stories_tokenizer()->eos().value();
  EXPECT_TRUE(rc::check([&] {
    const auto lengths = *rc::gen::nonEmpty(rc::gen::container<std::vector<int>>(rc::gen::inRange(1, 60)));
    const auto piece = *rc::gen::element<int64_t>(0, 7, 20, 50);
    const auto packing = *rc::gen::element<int64_t>(0, 5, 7, 20, 50);
    RC_PRE(piece == 0 || packing <= piece);
    std::vector<std::string> values;
    for (const int length : lengths) {
      std::string text;
      for (int i = 0; i < length; ++i) text += (i ? " " : "") + std::string(i % 3 ? "the" : "and");
      values.push_back(text);
    }
    const auto source = open_examples({folder.file("a.jsonl", texts(values))}, stories_tokenizer(),
                                      {.piece = piece, .packing = packing});
    std::multiset<TokenId> wanted, got;
    for (const std::string& value : values)
      for (const TokenId id : ids(value)) wanted.insert(id);
    for (const Parts& parts : epoch(*source)) {
      RC_ASSERT(parts.size() == 1u);
      const auto length = static_cast<int64_t>(parts[0].size());
      const bool joined = std::ranges::find(parts[0], eos) != parts[0].end();
      RC_ASSERT(!joined || length <= packing);
      RC_ASSERT(piece == 0 || length <= std::max(piece, packing));
      RC_ASSERT(parts[0].front() != eos && parts[0].back() != eos);
      for (const TokenId id : parts[0])
        if (id != eos) got.insert(id);
    }
    RC_ASSERT(wanted == got);
  }));
}

TEST(Examples, JoinsNeighboursWithEosBetween) {
  const TemporaryFolder folder;
  const auto path = folder.file("a.jsonl", texts({"a cat", "a dog", "a hen"}));
  const auto two = static_cast<int64_t>(ids("a cat").size() + ids("a dog").size());
  const auto source = open_examples({path}, stories_tokenizer(), {.packing = two + 1});
  std::vector<TokenId> joined = ids("a cat");
  joined.push_back(stories_tokenizer()->eos().value());
  for (const TokenId id : ids("a dog")) joined.push_back(id);
  EXPECT_EQ(epoch(*source), (std::multiset<Parts>{{joined}, {ids("a hen")}}));
  EXPECT_EQ(source->summary()["joined"], 2);
  // One token less, and nothing fits together.
  EXPECT_EQ(open_examples({path}, stories_tokenizer(), {.packing = two})->size(), 3);
}

TEST(Examples, WhatIsLeftOutIsCounted) {
  const TemporaryFolder folder;
  const auto path = folder.file(
      "a.jsonl", texts({"a", "a longer text than that"}) +
                     R"({"context":"A context with a number of words in it.","question":"Q?","answers":["yes"]})" +
                     "\n" + R"({"context":"A cat.","question":"Q?","answers":["yes"]})");
  const auto source = open_examples({path}, stories_tokenizer(), {.min_tokens = 3, .max_tokens = 15});
  EXPECT_EQ(source->size(), 2);
  const Json summary = source->summary();
  EXPECT_EQ(summary["too_short"], 1);
  EXPECT_EQ(summary["too_long"], 1);
  EXPECT_EQ(summary["tokens_left_out"], ids("a").size() + ids("A context with a number of words in it.").size() +
                                            ids("Q?").size() + ids("yes").size());
  EXPECT_THAT([&] { open_examples({path}, stories_tokenizer(), {.min_tokens = 1000}); },
              ThrowsMessage<InputError>(HasSubstr("no examples are left")));
}

// Ranks take turns in any way the trainer likes: samples are the same whoever asks, and no two hold one example.
TEST(Examples, RanksShareAnEpochAndARestartGoesOn) {
  const auto source =
      open_examples({eval_data("documents.jsonl"), eval_data("qa.jsonl")}, stories_tokenizer(), {.piece = 40});
  const auto size = static_cast<uint64_t>(source->size());
  ASSERT_GT(size, 20u);
  std::multiset<Parts> shared;
  for (uint64_t rank = 0; rank < 3; ++rank)
    for (uint64_t sample = size + rank; sample < 2 * size; sample += 3) shared.insert(source->at(sample, 9).parts);
  EXPECT_EQ(shared, epoch(*source, 9, 1));
  EXPECT_EQ(shared, epoch(*source, 10, 0)) << "an epoch holds every example";

  const auto reopened =
      open_examples({eval_data("documents.jsonl"), eval_data("qa.jsonl")}, stories_tokenizer(), {.piece = 40});
  for (uint64_t sample = size - 5; sample < size + 5; ++sample) {
    EXPECT_EQ(reopened->at(sample, 9).parts, source->at(sample, 9).parts);
    EXPECT_EQ(source->at(sample, 9).sample, sample);
  }
  EXPECT_EQ(reopened->summary()["identity"], source->summary()["identity"]);
  EXPECT_NE(open_examples({eval_data("qa.jsonl")}, stories_tokenizer(), {})->summary()["identity"],
            open_examples({eval_data("qa.jsonl")}, stories_tokenizer(), {.min_tokens = 2})->summary()["identity"]);
}

TEST(Examples, BadRecordsAndConfigurations) {
  const TemporaryFolder folder;
  const auto path = folder.file("a.jsonl", texts({"good"}) + "{}\n");
  EXPECT_THAT([&] { open_examples({path}, stories_tokenizer(), {}); },
              ThrowsMessage<InputError>(AllOf(HasSubstr("a.jsonl:2"), HasSubstr("--skip-bad"))));
  const auto skipped = open_examples({path}, stories_tokenizer(), {.skip_bad = true});
  EXPECT_EQ(skipped->size(), 1);
  EXPECT_EQ(skipped->summary()["files"][0]["skipped"], 1);
  const auto refuse = [&](const DataConfig& config, const char* message) {
    EXPECT_THAT([&] { open_examples({path}, stories_tokenizer(), config); },
                ThrowsMessage<UsageError>(HasSubstr(message)));
  };
  refuse({.piece = -1}, "piece = -1");
  refuse({.answer = "best"}, "first or random");
  refuse({.piece = 10, .packing = 11}, "join again");
  EXPECT_EQ(list_fields(DataConfig{}).size(), 6u);
}

}  // namespace
}  // namespace steno
