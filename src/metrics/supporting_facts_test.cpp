// Expected values are worked out by hand from the definitions of hotpot_evaluate_v1.py.
#include "metrics/supporting_facts.h"

#include <gtest/gtest.h>

#include <vector>

namespace steno {
namespace {

const std::set<Fact> kGold = {{"Paris", 0}, {"France", 2}};

TEST(SupportingFacts, SetsAreCompared) {
  const FactScore right = score_facts({{"France", 2}, {"Paris", 0}}, kGold);
  EXPECT_EQ(right.exact, 1);
  EXPECT_EQ(right.f1, 1);
  // Another sentence of the right paragraph is another fact.
  const FactScore other = score_facts({{"Paris", 1}, {"France", 2}}, kGold);
  EXPECT_EQ(other.exact, 0);
  EXPECT_DOUBLE_EQ(other.f1, 0.5);
  // One of two found, nothing else said; and both found among four.
  const FactScore half = score_facts({{"Paris", 0}}, kGold);
  EXPECT_EQ(half.precision, 1);
  EXPECT_EQ(half.recall, 0.5);
  EXPECT_NEAR(half.f1, 2.0 / 3, 1e-12);
  const FactScore many = score_facts({{"Paris", 0}, {"France", 2}, {"Lyon", 0}, {"Lyon", 1}}, kGold);
  EXPECT_EQ(many.precision, 0.5);
  EXPECT_EQ(many.recall, 1);
  EXPECT_NEAR(many.f1, 2.0 / 3, 1e-12);
  EXPECT_EQ(many.exact, 0);
}

TEST(SupportingFacts, NothingSaidAndNothingWanted) {
  const FactScore silent = score_facts({}, kGold);
  EXPECT_EQ(silent.exact + silent.f1 + silent.precision + silent.recall, 0);
  const FactScore none = score_facts({}, {});
  EXPECT_EQ(none.exact, 1);
  EXPECT_EQ(none.f1, 0);
  EXPECT_EQ(score_facts({{"Paris", 0}}, {}).exact, 0);
}

TEST(SupportingFacts, JointIsTheProduct) {
  const std::vector<std::string> gold = {"Eiffel Tower"};
  // Answer: one token of two right (P 1/2, R 1/2). Facts: P 1/2, R 1. Joint: P 1/4, R 1/2, F1 1/3.
  const QaScore answer = score_answer("Tokyo Tower", gold, QaDialect::hotpot);
  EXPECT_EQ(answer.precision, 0.5);
  EXPECT_EQ(answer.recall, 0.5);
  const FactScore facts = score_facts({{"Paris", 0}, {"France", 2}, {"Lyon", 0}, {"Lyon", 1}}, kGold);
  EXPECT_NEAR(joint_score(answer, facts).f1, 1.0 / 3, 1e-12);
  EXPECT_EQ(joint_score(answer, facts).exact, 0);

  const QaScore right = score_answer("the Eiffel Tower", gold, QaDialect::hotpot);
  EXPECT_EQ(joint_score(right, score_facts(kGold, kGold)).exact, 1);
  EXPECT_EQ(joint_score(right, score_facts(kGold, kGold)).f1, 1);
  // An answer that is right with facts that are not quite is no joint match, but has their F1.
  EXPECT_EQ(joint_score(right, facts).exact, 0);
  EXPECT_NEAR(joint_score(right, facts).f1, 2.0 / 3, 1e-12);
  // A wrong verdict has neither precision nor recall.
  const QaScore verdict = score_answer("yes it is", std::vector<std::string>{"yes"}, QaDialect::hotpot);
  EXPECT_EQ(verdict.precision + verdict.recall, 0);
  EXPECT_EQ(joint_score(verdict, score_facts(kGold, kGold)).f1, 0);
}

TEST(SupportingFacts, AsymmetricArguments) {
  // Precision is about what was said, recall about what was wanted.
  const QaScore talks =
      score_answer("the tall Eiffel Tower in Paris", std::vector<std::string>{"Eiffel Tower"}, QaDialect::hotpot);
  EXPECT_EQ(talks.recall, 1);
  EXPECT_DOUBLE_EQ(talks.precision, 2.0 / 5);
  EXPECT_DOUBLE_EQ(talks.f1, 2 * 0.4 / 1.4);
}

}  // namespace
}  // namespace steno
