// Supporting facts of HotpotQA, as hotpot_evaluate_v1.py scores them: sentences named by title and number. Shares in
// [0, 1].
#pragma once
#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include "metrics/qa_match.h"

namespace steno {

using Fact = std::pair<std::string, int64_t>;  // title, number of the sentence, from 0

struct FactScore {
  double exact = 0;  // the sets are equal
  double f1 = 0, precision = 0, recall = 0;
};
// Two empty sets are equal; their F1 is 0, as in the script.
FactScore score_facts(const std::set<Fact>& predicted, const std::set<Fact>& gold);

struct JointScore {
  double exact = 0, f1 = 0;
};
// Exact: both are. F1: of the products of precisions and of recalls.
JointScore joint_score(const QaScore& answer, const FactScore& facts);

}  // namespace steno
