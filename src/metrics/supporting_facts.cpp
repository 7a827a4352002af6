#include "metrics/supporting_facts.h"

namespace steno {
namespace {

double f1_of(double precision, double recall) {
  return precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0;
}

}  // namespace

FactScore score_facts(const std::set<Fact>& predicted, const std::set<Fact>& gold) {
  double common = 0;
  for (const Fact& fact : predicted) common += gold.contains(fact) ? 1 : 0;
  FactScore score;
  score.exact = predicted == gold ? 1 : 0;
  if (!predicted.empty()) score.precision = common / static_cast<double>(predicted.size());
  if (!gold.empty()) score.recall = common / static_cast<double>(gold.size());
  score.f1 = f1_of(score.precision, score.recall);
  return score;
}

JointScore joint_score(const QaScore& answer, const FactScore& facts) {
  return {answer.exact * facts.exact, f1_of(answer.precision * facts.precision, answer.recall * facts.recall)};
}

}  // namespace steno
