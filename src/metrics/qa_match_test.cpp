#include "metrics/qa_match.h"

#include <gtest/gtest.h>

#include <vector>

namespace steno {
namespace {

using Golds = std::vector<std::string>;
constexpr QaDialect kDialects[] = {QaDialect::squad, QaDialect::trivia, QaDialect::hotpot};

TEST(QaMatch, NormalisesByDialect) {
  EXPECT_EQ(normalise_answer("twenty-one", QaDialect::squad), "twentyone");
  EXPECT_EQ(normalise_answer("twenty-one", QaDialect::trivia), "twenty one");
  EXPECT_EQ(normalise_answer("U.S.A.", QaDialect::squad), "usa");
  EXPECT_EQ(normalise_answer("U.S.A.", QaDialect::trivia), "u s");
  EXPECT_EQ(normalise_answer(" The  cat_and A dog,\tan owl ", QaDialect::hotpot), "catand dog owl");
  EXPECT_EQ(normalise_answer("The cat_and", QaDialect::trivia), "cat and");
  EXPECT_EQ(normalise_answer("\u2018x\u2019 y\u00B4`z", QaDialect::trivia), "x y z");
  EXPECT_EQ(normalise_answer("\u2018x\u2019", QaDialect::squad), "\u2018x\u2019");
  EXPECT_EQ(normalise_answer("ÉCOLE theatre an", QaDialect::squad), "école theatre");
}

TEST(QaMatch, SentenceAroundTheGold) {
  for (const auto dialect : kDialects) {
    const QaScore score = score_answer("in the city of Paris, France", Golds{"Paris"}, dialect);
    EXPECT_EQ(score.exact, 0);
    EXPECT_NEAR(score.f1, 1.0 / 3, 1e-12);
    EXPECT_EQ(score.substring, 1);
    // The other way round nothing of the long gold stands in the short prediction.
    EXPECT_EQ(score_answer("Paris", Golds{"in the city of Paris, France"}, dialect).substring, 0);
  }
}

TEST(QaMatch, TakesTheBestGoldForEachMeasure) {
  const QaScore score = score_answer("red green blue", Golds{"green", "red blue yellow", "none"}, QaDialect::squad);
  EXPECT_EQ(score.exact, 0);
  EXPECT_NEAR(score.f1, 2.0 / 3, 1e-12);
  EXPECT_EQ(score.substring, 1);
  EXPECT_EQ(score_answer("The Red!", Golds{"blue", "red"}, QaDialect::trivia).exact, 1);
}

TEST(QaMatch, CountsRepeatedTokensOnce) {
  // Multiset overlap: one of three predicted "no" is matched by the single one of the gold.
  EXPECT_NEAR(score_answer("no no no", Golds{"no way"}, QaDialect::squad).f1, 2 * (1.0 / 3) * 0.5 / (1.0 / 3 + 0.5),
              1e-12);
}

TEST(QaMatch, PerfectIsOneAndEmptyIsZero) {
  for (const auto dialect : kDialects) {
    const QaScore perfect = score_answer("A Tale of Two Cities", Golds{"a tale of two cities"}, dialect);
    EXPECT_EQ(perfect.exact, 1);
    EXPECT_EQ(perfect.f1, 1);
    EXPECT_EQ(perfect.substring, 1);
    for (const char* nothing : {"", " \n", "the", "!?"}) {
      const QaScore empty = score_answer(nothing, Golds{"gold"}, dialect);
      EXPECT_EQ(empty.exact + empty.f1 + empty.substring, 0) << nothing;
    }
  }
}

TEST(QaMatch, UnanswerableWantsSilence) {
  for (const auto& golds : {Golds{}, Golds{""}, Golds{"the"}}) {
    const QaScore silent = score_answer("", golds, QaDialect::squad);
    EXPECT_EQ(silent.exact, 1);
    EXPECT_EQ(silent.f1, 1);
    EXPECT_EQ(silent.substring, 1);
    const QaScore talking = score_answer("Paris", golds, QaDialect::squad);
    EXPECT_EQ(talking.exact + talking.f1 + talking.substring, 0);
  }
  // A gold that normalises to nothing does not excuse silence when there is another one.
  EXPECT_EQ(score_answer("", Golds{"the", "Paris"}, QaDialect::squad).exact, 0);
  EXPECT_EQ(score_answer("", Golds{}, QaDialect::trivia).exact, 0);
}

TEST(QaMatch, HotpotVerdictsMatchWholeOrNotAtAll) {
  EXPECT_EQ(score_answer("yes it is", Golds{"yes"}, QaDialect::hotpot).f1, 0);
  EXPECT_EQ(score_answer("no", Golds{"no more"}, QaDialect::hotpot).f1, 0);
  EXPECT_GT(score_answer("yes it is", Golds{"yes"}, QaDialect::squad).f1, 0);
  EXPECT_EQ(score_answer("Yes.", Golds{"yes"}, QaDialect::hotpot).f1, 1);
}

TEST(QaMatch, CutsGeneratedAnswers) {
  EXPECT_EQ(cut_answer("\n Answer:  Paris \nQuestion: next"), "Paris");
  EXPECT_EQ(cut_answer("ANSWER:\nParis\nLyon"), "Paris");
  EXPECT_EQ(cut_answer("Paris. Answer: Lyon"), "Paris. Answer: Lyon");
  EXPECT_EQ(cut_answer("Answers: x"), "Answers: x");
  EXPECT_EQ(cut_answer(""), "");
  EXPECT_EQ(cut_answer("answer:"), "");
}

}  // namespace
}  // namespace steno
