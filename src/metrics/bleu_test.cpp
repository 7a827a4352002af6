#include "metrics/bleu.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "base/error.h"
#include "metrics/nltk_bleu.h"
#include "metrics/tokenise.h"

namespace steno {
namespace {

using Strings = std::vector<std::string>;
const Strings kReference = {"the cat sat on the mat"};
const std::string kHypothesis = "the cat is on the mat";

double nltk(const std::string& hypothesis, std::vector<double> weights, NltkSmoothing smoothing,
            bool characters = false) {
  const auto cut = [&](const std::string& text) { return characters ? tokenise_characters(text) : split_spaces(text); };
  const std::vector<Tokens> references = {cut(kReference[0])};
  return nltk_sentence_bleu(references, cut(hypothesis), weights, smoothing);
}

double sacre(const std::string& hypothesis, const Strings& references, const BleuSettings& settings = {}) {
  return bleu_from_stats(bleu_stats(hypothesis, references, settings), settings).score;
}

TEST(Bleu, PublishedVectorsOfNltk) {
  EXPECT_NEAR(nltk(kHypothesis, {1}, NltkSmoothing::method0), 5.0 / 6, 1e-12);
  EXPECT_NEAR(nltk(kHypothesis, individual_weights(2), NltkSmoothing::method0), 0.6, 1e-12);
  EXPECT_NEAR(nltk(kHypothesis, cumulative_weights(2), NltkSmoothing::method0), 0.707107, 1e-6);
  EXPECT_NEAR(nltk(kHypothesis, cumulative_weights(4), NltkSmoothing::method0), 0, 1e-6);
  EXPECT_NEAR(nltk(kHypothesis, cumulative_weights(4), NltkSmoothing::method1), 0.254066, 1e-6);
  EXPECT_NEAR(nltk(kHypothesis, cumulative_weights(4), NltkSmoothing::method2), 0.485492, 1e-6);
  EXPECT_NEAR(nltk(kHypothesis, cumulative_weights(4), NltkSmoothing::method3), 0.379918, 1e-6);
  EXPECT_NEAR(nltk(kHypothesis, cumulative_weights(4), NltkSmoothing::method1, true), 0.785921, 1e-6);
  EXPECT_NEAR(nltk("the cat", cumulative_weights(4), NltkSmoothing::method1), 0.042797, 1e-6);
}

TEST(Bleu, PublishedVectorsOfSacreBleu) {
  EXPECT_NEAR(sacre(kHypothesis, kReference), 37.9918, 5e-5);
  EXPECT_NEAR(sacre("the cat", kReference, {.effective_order = true}), 13.5335, 5e-5);
  EXPECT_EQ(sacre("the cat", kReference), 0);
}

TEST(Bleu, TheHypothesisComesFirst) {
  // A short hypothesis is penalised for its length, a long one by its precision.
  const BleuSettings settings = {.effective_order = true};
  const Strings short_text = {"the cat sat on"}, long_text = {"the cat sat on the mat today"};
  const BleuStats stats = bleu_stats(short_text[0], long_text, settings);
  EXPECT_EQ(stats.hypothesis_length, 4);
  EXPECT_EQ(stats.reference_length, 7);
  EXPECT_LT(bleu_from_stats(stats, settings).brevity_penalty, 1);
  EXPECT_EQ(bleu_from_stats(bleu_stats(long_text[0], short_text, settings), settings).brevity_penalty, 1);
  EXPECT_NE(sacre(short_text[0], long_text, settings), sacre(long_text[0], short_text, settings));
  EXPECT_NE(
      nltk("the cat", {1}, NltkSmoothing::method1),
      nltk_sentence_bleu(std::vector<Tokens>{{"the", "cat"}}, split_spaces(kReference[0]), std::vector<double>{1}));
}

TEST(Bleu, TheClosestReferenceGivesTheLengthAndTheShorterOneWins) {
  EXPECT_EQ(bleu_stats("a b c d", Strings{"a b c d e f", "a b c", "a b c d e"}).reference_length, 3);
  EXPECT_EQ(bleu_stats("a b c d", Strings{"a", "a b c d e f g"}).reference_length, 1);
}

TEST(Bleu, ACorpusIsTheSumOfItsSegments) {
  const Strings hypotheses = {"the cat is on the mat", "a dog", ""};
  const std::vector<Strings> references = {{"the cat sat on the mat"}, {"the dog", "a dog barks"}, {"something"}};
  BleuStats sum;
  for (size_t i = 0; i < hypotheses.size(); ++i) sum += bleu_stats(hypotheses[i], references[i]);
  EXPECT_EQ(corpus_bleu(hypotheses, references).score, bleu_from_stats(sum).score);
  EXPECT_EQ(sum.hypothesis_length, 8);
}

TEST(Bleu, MistakesAreNamed) {
  EXPECT_THROW(bleu_stats("x", Strings{}), InputError);
  EXPECT_THROW(corpus_bleu(Strings{"x"}, std::vector<Strings>{}), InputError);
  EXPECT_THROW(nltk_sentence_bleu({}, {"x"}, std::vector<double>{1}), InputError);
  EXPECT_THROW(bleu_from_stats(bleu_stats("x", Strings{"x"}, {.max_order = 2})), std::invalid_argument);
  EXPECT_EQ(corpus_bleu({}, {}).score, 0);
  EXPECT_EQ(nltk_corpus_bleu({}, {}, cumulative_weights(4)), 0);
}

TEST(Bleu, SignatureNamesTheSettings) {
  EXPECT_EQ(bleu_signature({}), "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0-steno");
  EXPECT_EQ(bleu_signature({.tokens = BleuTokens::character, .smoothing = BleuSmoothing::add_k, .lower_case = true}, 0),
            "nrefs:var|case:lc|eff:no|tok:char|smooth:add-k[1.00]|version:2.6.0-steno");
}

TEST(Bleu, HoldsItsBoundsOnAnyInput) {
  EXPECT_TRUE(rc::check("0 to 100, perfect 100, empty 0", [] {
    const auto word = rc::gen::elementOf(Strings{"a", "b", "Don't", "3.5", "x-y", "\u00E9", "!", "\xFF", "&amp;"});
    const auto sentence = [&] {
      std::string text;
      for (const auto& w : *rc::gen::container<Strings>(word)) text += w + " ";
      return text;
    };
    const std::string given = sentence(), wanted = sentence();
    BleuSettings settings;
    settings.tokens = *rc::gen::element(BleuTokens::mteval_13a, BleuTokens::none, BleuTokens::character);
    settings.smoothing = *rc::gen::element(BleuSmoothing::exp, BleuSmoothing::floor, BleuSmoothing::none);
    settings.effective_order = true;
    const double score = sacre(given, {wanted}, settings);
    RC_ASSERT(score >= 0 && score <= 100 + 1e-9);
    RC_ASSERT(sacre("", {wanted}, settings) == 0);
    if (!split_spaces(given).empty()) {
      RC_ASSERT(std::abs(sacre(given, {wanted, given}, settings) - 100) < 1e-9);
      RC_ASSERT(std::abs(nltk_sentence_bleu(std::vector<Tokens>{split_spaces(given)}, split_spaces(given),
                                            std::vector<double>{1}) -
                         1) < 1e-9);
    }
  }));
}

}  // namespace
}  // namespace steno
