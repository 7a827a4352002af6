// Which passages are read: taking by score, both rules against what they say, mixing of slots and text.
#include "memory/passage.h"

#include <gtest/gtest.h>

#include <numeric>

#include "base/random.h"
#include "memory/compressor_test_util.h"
#include "model/model_test_util.h"

namespace steno {
namespace {

using test::VerbatimCompressor;

std::vector<TokenId> some_ids(const Decoder& decoder, int64_t count, uint64_t seed) {
  Random random(seed);
  std::vector<TokenId> ids(static_cast<size_t>(count));
  for (TokenId& id : ids) id = static_cast<TokenId>(random.below(static_cast<uint64_t>(decoder.config().vocab)));
  return ids;
}

std::vector<Passage> passages_of(const Compressor& compressor, std::span<const TokenId> text, bool keep_text) {
  std::vector<Passage> passages;
  for (const auto& span : cut_fixed(text, compressor.span_tokens())) {
    Passage passage;
    passage.source_tokens = passage.slots = static_cast<int64_t>(span.size());
    passage.load = [slots = compressor.compress({&span, 1})[0]] { return slots; };
    if (keep_text) passage.tokens = span;
    passages.push_back(std::move(passage));
  }
  return passages;
}

std::vector<size_t> first_n(size_t n) {
  std::vector<size_t> all(n);
  std::iota(all.begin(), all.end(), size_t{0});
  return all;
}

at::Tensor logits_of_text(const Decoder& decoder, std::span<const TokenId> ids) {
  const c10::InferenceMode inference;
  return decoder.run(test::input_of(test::as_ids({ids.begin(), ids.end()}))).logits[0];
}

TEST(TakeBest, ByScoreEachThatFitsInTheOrderOfTheText) {
  const std::vector<double> scores = {1, 5, 3, 5, 0};
  const std::vector<int64_t> equal = {4, 4, 4, 4, 4};
  EXPECT_EQ(take_best(scores, equal, 8), (std::vector<size_t>{1, 3}));
  EXPECT_EQ(take_best(scores, equal, 11), (std::vector<size_t>{1, 3}));
  EXPECT_EQ(take_best(scores, equal, 12), (std::vector<size_t>{1, 2, 3}));
  EXPECT_EQ(take_best(scores, equal, 4), (std::vector<size_t>{1})) << "of equal scores the earlier one";
  EXPECT_EQ(take_best(scores, equal, 3), (std::vector<size_t>{}));
  EXPECT_EQ(take_best(scores, equal, 20), first_n(5));
  // The best one is too long for what is left; smaller ones behind it are not given up.
  EXPECT_EQ(take_best(scores, std::vector<int64_t>{1, 9, 2, 3, 1}, 7), (std::vector<size_t>{0, 2, 3, 4}));
}

TEST(Choice, EverythingIsReadWhileItFits) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const VerbatimCompressor compressor(decoder, 8, 64);
  const auto passages = passages_of(compressor, some_ids(*decoder, 32, 1), true);
  const PassageChoice choice = choose_passages(compressor, {}, passages, some_ids(*decoder, 3, 2), 32);
  EXPECT_EQ(choice.read, first_n(4));
  EXPECT_TRUE(choice.unread.empty());
  EXPECT_EQ(choice.rule, ChoiceRule::automatic);
  EXPECT_EQ(choice.positions, 32);
  const PassageChoice less = choose_passages(compressor, {}, passages, some_ids(*decoder, 3, 2), 31);
  EXPECT_EQ(less.read.size(), 3u);
  EXPECT_EQ(less.rule, ChoiceRule::bm25);
  EXPECT_THROW(choose_passages(compressor, {}, passages, some_ids(*decoder, 3, 2), 7), InputError);
}

TEST(Choice, Bm25FindsThePassageThatHasTheWords) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const VerbatimCompressor compressor(decoder, 8, 64);
  std::vector<TokenId> text(80);
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<TokenId>(i % 5);  // five words everywhere
  text[8 * 6 + 2] = 41, text[8 * 6 + 5] = 42, text[8 * 2 + 1] = 42;
  const auto passages = passages_of(compressor, text, true);
  const std::vector<TokenId> question = {0, 41, 42};
  const PassageChoice choice = choose_passages(compressor, {}, passages, question, 17);
  EXPECT_EQ(choice.rule, ChoiceRule::bm25);
  EXPECT_EQ(choice.read, (std::vector<size_t>{2, 6}));
  EXPECT_EQ(choice.unread, (std::vector<size_t>{0, 1, 3, 4, 5, 7, 8, 9}));
  EXPECT_EQ(choice.positions, 16);
}

TEST(Choice, AttentionIsTheShareThatThePassageAloneGets) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const VerbatimCompressor compressor(decoder, 8, 64);
  const auto ids = some_ids(*decoder, 24, 3);
  auto passages = passages_of(compressor, ids, false);
  passages[1].slots = 0, passages[1].tokens.assign(ids.begin() + 8, ids.begin() + 16);  // kept raw
  const auto opening = some_ids(*decoder, 4, 4), question = some_ids(*decoder, 5, 5);
  const auto scores = attention_scores(compressor, opening, passages, question);
  ASSERT_EQ(scores.size(), 3u);
  for (size_t p = 0; p < 3; ++p) {
    // From one pass over the text: rows are queries of the question, columns the passage.
    std::vector<int64_t> whole(opening.begin(), opening.end());
    whole.insert(whole.end(), ids.begin() + 8 * static_cast<int64_t>(p), ids.begin() + 8 * static_cast<int64_t>(p) + 8);
    whole.insert(whole.end(), question.begin(), question.end());
    // Sums over all queries less those over the queries before the question.
    const auto given = [&](size_t queries) {
      const c10::InferenceMode inference;
      Input in =
          test::input_of(test::as_ids({whole.begin(), whole.begin() + static_cast<int64_t>(queries)}), LogitRows::none);
      in.capture.mass = true;
      double sum = 0;
      const Output out = decoder->run(in);
      for (const at::Tensor& mass : out.mass) sum += mass[0].narrow(1, 4, 8).mean(0).sum().item<double>();
      return sum / static_cast<double>(out.mass.size());
    };
    EXPECT_NEAR(scores[p], (given(17) - given(12)) / 5, 1e-5) << p;
    EXPECT_GT(scores[p], 0);
    EXPECT_LT(scores[p], 1);
  }
  // Alone: what else the memory holds changes nothing.
  const auto fewer = attention_scores(compressor, opening, std::span(passages).subspan(2), question);
  EXPECT_EQ(fewer[0], scores[2]);
  const PassageChoice choice = choose_passages(compressor, opening, passages, question, 8);
  EXPECT_EQ(choice.rule, ChoiceRule::attention);
  ASSERT_EQ(choice.read.size(), 1u);
  EXPECT_EQ(choice.scores[choice.read[0]], *std::max_element(scores.begin(), scores.end()));
  EXPECT_THROW(choose_passages(compressor, opening, passages, question, 8, ChoiceRule::bm25), UsageError);
}

TEST(Choice, ReadersThatCannotTellReadFromTheBeginning) {
  const test::CopyCompressor compressor(100, 8, 4, 8, 0, 99);
  const std::vector<TokenId> text(32, 7);
  std::vector<Passage> passages = passages_of(compressor, text, false);
  for (Passage& passage : passages) passage.slots = 4;
  const PassageChoice choice = choose_passages(compressor, {}, passages, text, 9);
  EXPECT_EQ(choice.rule, ChoiceRule::order);
  EXPECT_EQ(choice.read, (std::vector<size_t>{0, 1}));
  EXPECT_THROW(choose_passages(compressor, {}, passages, text, 9, ChoiceRule::attention), UsageError);
}

TEST(ReadPassages, SlotsAndRawTextMixAsTheTextItself) {
  for (const char* name : {"llama_tied", "mistral_window", "gemma3"}) {
    const auto decoder = test::tiny_decoder(name);
    const VerbatimCompressor compressor(decoder, 8, 64);
    const auto opening = some_ids(*decoder, 3, 6), ids = some_ids(*decoder, 37, 7), question = some_ids(*decoder, 4, 8);
    auto passages = passages_of(compressor, ids, true);
    for (const size_t raw : {1u, 4u}) passages[raw].slots = 0;
    const auto reader = read_passages(compressor, opening, passages, first_n(5), ReaderTask::instruct);
    std::vector<TokenId> whole = opening;
    whole.insert(whole.end(), ids.begin(), ids.end());
    EXPECT_EQ(reader->accounting().slots, static_cast<int64_t>(whole.size()));
    const at::Tensor got = reader->feed(question, LogitRows::all).logits;
    whole.insert(whole.end(), question.begin(), question.end());
    EXPECT_LT(test::difference(got, logits_of_text(*decoder, whole).narrow(0, 40, 4)), 1e-5) << name;

    // Of some passages: as if the others were not in the text.
    const std::vector<size_t> chosen = {0, 3};
    const auto part = read_passages(compressor, opening, passages, chosen, ReaderTask::instruct);
    std::vector<TokenId> kept = opening;
    kept.insert(kept.end(), ids.begin(), ids.begin() + 8);
    kept.insert(kept.end(), ids.begin() + 24, ids.begin() + 32);
    kept.insert(kept.end(), question.begin(), question.end());
    EXPECT_LT(
        test::difference(part->feed(question, LogitRows::all).logits, logits_of_text(*decoder, kept).narrow(0, 19, 4)),
        1e-5)
        << name;
  }
}

TEST(ChoiceRule, Names) {
  for (const char* name : {"auto", "bm25", "attention", "order"})
    EXPECT_STREQ(choice_rule_name(choice_rule_named("ask", name)), name);
  EXPECT_THROW(choice_rule_named("ask", "best"), UsageError);
}

}  // namespace
}  // namespace steno
