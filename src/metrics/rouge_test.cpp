#include "metrics/rouge.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "metrics/golden_test_util.h"
#include "metrics/pltrdy_rouge.h"
#include "metrics/porter_stemmer.h"
#include "metrics/tokenise.h"

namespace steno {
namespace {

using Strings = std::vector<std::string>;

void expect_near(const RougeScore& score, const nlohmann::json& golden) {
  EXPECT_NEAR(score.precision, golden.at(0), 1e-6);
  EXPECT_NEAR(score.recall, golden.at(1), 1e-6);
  EXPECT_NEAR(score.f1, golden.at(2), 1e-6);
}

TEST(Rouge, GoldenOfRougeScore) {
  const auto pairs = golden_pairs();
  for (const auto& row : read_golden("rouge.json", "rows"))
    for (size_t i = 0; i < pairs.size(); ++i) {
      SCOPED_TRACE(pairs[i].hypothesis + " / " + pairs[i].references[0]);
      const RougeScores scores = score_rouge(pairs[i].hypothesis, pairs[i].references, row.at("stem"));
      const auto& golden = row.at("scores").at(i);
      expect_near(scores.rouge1, golden.at(0));
      expect_near(scores.rouge2, golden.at(1));
      expect_near(scores.rouge_l, golden.at(2));
    }
}

TEST(PorterStemmer, GoldenOfNltk) {
  const nlohmann::json stems = read_golden("rouge.json", "stems");
  EXPECT_GT(stems.size(), 1000u);
  for (const auto& [word, stem] : stems.items()) EXPECT_EQ(porter_stem(word), stem.get<std::string>()) << word;
}

TEST(Rouge, PublishedVector) {
  const RougeScores scores = score_rouge("the cat is on the mat", Strings{"the cat sat on the mat"});
  EXPECT_NEAR(scores.rouge_l.f1, 0.833333, 1e-6);
  EXPECT_NEAR(scores.rouge1.f1, 5.0 / 6, 1e-12);
  EXPECT_NEAR(scores.rouge2.f1, 0.6, 1e-12);
}

TEST(PltrdyRouge, GoldenOfThePackage) {
  const auto pairs = golden_pairs();
  const nlohmann::json golden = read_golden("rouge.json", "pltrdy");
  for (size_t i = 0; i < pairs.size(); ++i) {
    SCOPED_TRACE(pairs[i].hypothesis + " / " + pairs[i].references[0]);
    const RougeScores scores = score_pltrdy_rouge(pairs[i].hypothesis, pairs[i].references[0]);
    if (golden.at(i).is_null()) {  // the package raises
      EXPECT_EQ(scores.rouge1.f1 + scores.rouge2.f1 + scores.rouge_l.f1, 0);
      continue;
    }
    expect_near(scores.rouge1, golden.at(i).at(0));
    expect_near(scores.rouge2, golden.at(i).at(1));
    expect_near(scores.rouge_l, golden.at(i).at(2));
  }
}

TEST(PltrdyRouge, PublishedVector) {
  const RougeScores scores = score_pltrdy_rouge("the cat is on the mat", "the cat sat on the mat");
  EXPECT_NEAR(scores.rouge1.f1, 0.8, 1e-6);
  EXPECT_NEAR(scores.rouge2.f1, 0.6, 1e-6);
  EXPECT_NEAR(scores.rouge_l.f1, 0.8, 1e-6);
}

TEST(PltrdyRouge, ScoresTextsThatAreTooLongForThePackagesRecursion) {
  std::string text;
  for (int i = 0; i < 3000; ++i) text += "w" + std::to_string(i) + " ";
  EXPECT_NEAR(score_pltrdy_rouge(text, text).rouge_l.f1, 1, 1e-6);
}

TEST(Rouge, PrecisionIsOfThePrediction) {
  const RougeScores scores = score_rouge("one two three four", Strings{"one two"});
  EXPECT_EQ(scores.rouge1.precision, 0.5);
  EXPECT_EQ(scores.rouge1.recall, 1);
  EXPECT_EQ(scores.rouge2.precision, 1.0 / 3);
  EXPECT_EQ(scores.rouge_l.recall, 1);
}

TEST(Rouge, HoldsItsBoundsOnAnyInput) {
  EXPECT_TRUE(rc::check("0 to 1, F1 symmetric, ROUGE-L at most ROUGE-1", [] {
    const auto text = rc::gen::container<Strings>(rc::gen::element<std::string>("a", "b", "c", "d"));
    const Tokens a = *text, b = *text;
    const RougeScore one = rouge_n(a, b, 1), longest = rouge_l(a, b), mirrored = rouge_l(b, a);
    RC_ASSERT(longest.f1 >= 0 && longest.f1 <= one.f1 + 1e-12 && one.f1 <= 1 + 1e-12);
    RC_ASSERT(std::abs(longest.f1 - mirrored.f1) < 1e-12);
    RC_ASSERT(longest.precision == mirrored.recall);
    RC_ASSERT(rouge_l(a, a).f1 == (a.empty() ? 0 : 1));
    RC_ASSERT(rouge_l({}, b).f1 == 0 && rouge_n({}, b, 2).f1 == 0);
  }));
}

}  // namespace
}  // namespace steno
