// What holds for every score of text, whatever bytes a model may emit.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>

#include "metrics/babilong_match.h"
#include "metrics/bleu.h"
#include "metrics/edit_distance.h"
#include "metrics/passkey_match.h"
#include "metrics/pltrdy_rouge.h"
#include "metrics/qa_match.h"
#include "metrics/rouge.h"
#include "metrics/string_match.h"

namespace steno {
namespace {

using Strings = std::vector<std::string>;

// Any bytes, or words and marks that the metrics treat in special ways.
std::string any_text() {
  if (*rc::gen::inRange(0, 3) == 0) return *rc::gen::string<std::string>();
  std::string text;
  const auto part = rc::gen::element<std::string>(
      " ", " ", "the", "a", "Yes", "no", "Paris", "3.5", "-\n", ".", ". ", ",", "\"", "&amp;", "&lt", "<skipped>", "_",
      "é", "Σ", "İ", "\u2019", "\u3000", "\x1C", "\xE2\x82", "\xFF", "running", "Answer:", "\n", "$1", "\\", "12");
  for (const auto& one : *rc::gen::container<Strings>(part)) text += one;
  return text;
}

// The scores that an empty prediction must not earn, all in [0, 1].
std::vector<double> scores_of(const std::string& prediction, const std::string& reference) {
  const Strings references = {reference};
  std::vector<double> scores = {string_match_all(prediction, references), keyword_recall(prediction, references)};
  for (const auto dialect : {QaDialect::squad, QaDialect::trivia, QaDialect::hotpot}) {
    const QaScore score = score_answer(prediction, references, dialect);
    scores.insert(scores.end(), {score.exact, score.f1, score.substring});
  }
  for (const auto tokens : {BleuTokens::mteval_13a, BleuTokens::none, BleuTokens::character}) {
    const BleuSettings settings{.tokens = tokens, .lower_case = true, .effective_order = true};
    scores.push_back(bleu_from_stats(bleu_stats(prediction, references, settings), settings).score / 100);
  }
  for (const RougeScores& rouge : {score_rouge(prediction, references), score_pltrdy_rouge(prediction, reference)})
    for (const RougeScore& score : {rouge.rouge1, rouge.rouge2, rouge.rouge_l})
      scores.insert(scores.end(), {score.precision, score.recall, score.f1});
  scores.push_back(matches_passkey(prediction, reference));
  scores.push_back(matches_babilong(prediction, "", reference, references));
  return scores;
}

TEST(AnyInput, ScoresStayInRange) {
  EXPECT_TRUE(rc::check("0 to 1", [] {
    const std::string prediction = any_text(), reference = any_text();
    for (const double score : scores_of(prediction, reference)) RC_ASSERT(score >= 0 && score <= 1 + 1e-9);
    const double distance = character_edit_distance(prediction, reference);
    RC_ASSERT(distance >= 0 && distance <= 1);
    for (const double recall : {digit_recall(prediction, reference), name_recall(prediction, reference)})
      RC_ASSERT(std::isnan(recall) || (recall >= 0 && recall <= 1));
  }));
}

TEST(AnyInput, NothingEarnsNothing) {
  EXPECT_TRUE(rc::check("an empty prediction scores 0", [] {
    // A reference that says nothing is another matter: silence is then right.
    const std::string reference = any_text() + " word";
    for (const double score : scores_of("", reference)) RC_ASSERT(score == 0);
  }));
}

TEST(AnyInput, TheReferenceItselfEarnsAll) {
  EXPECT_TRUE(rc::check("a perfect prediction scores 1", [] {
    const std::string text = any_text() + " some more words here";
    const Strings references = {text};
    for (const auto dialect : {QaDialect::squad, QaDialect::trivia, QaDialect::hotpot}) {
      const QaScore score = score_answer(text, references, dialect);
      RC_ASSERT(score.exact == 1 && std::abs(score.f1 - 1) < 1e-12 && score.substring == 1);
    }
    RC_ASSERT(std::abs(corpus_bleu(references, std::vector<Strings>{references}).score - 100) < 1e-9);
    RC_ASSERT(std::abs(score_rouge(text, references).rouge_l.f1 - 1) < 1e-12);
    RC_ASSERT(character_edit_distance(text, text) == 0);
    RC_ASSERT(!(digit_recall(text, text) < 1) && !(name_recall(text, text) < 1));
  }));
}

TEST(AnyInput, CuttingAnAnswerLeavesOneLine) {
  EXPECT_TRUE(rc::check("one line, no space around it, cut again the same unless a prefix comes up", [] {
    const std::string answer = cut_answer(any_text());
    RC_ASSERT(answer.find('\n') == std::string::npos);
    RC_ASSERT(strip(answer) == answer);
  }));
}

}  // namespace
}  // namespace steno
