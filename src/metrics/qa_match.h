// Exact match, token F1 and substring match of short answers, in the three dialects of the official scripts. Shares in
// [0, 1]; tables usually show them times 100.
//
//   squad   evaluate-v2.0.py of SQuAD: lower case, ASCII punctuation deleted, articles and spaces removed. Golds that
//           normalise to nothing are ignored; without any other gold the question is unanswerable, and then EM and F1
//           are 1 exactly for a prediction that normalises to nothing too. (v1.1 differs only on such golds.)
//   trivia  triviaqa_evaluation.py: '_' is a space, and ASCII punctuation, the quotes U+2018 and U+2019, acute accent
//           and backtick become spaces instead of being deleted. F1 of two empty answers is 0.
//   hotpot  hotpot_evaluate_v1.py: squad's normalisation; when either side is yes, no or noanswer and they differ, F1,
//           precision and recall are 0. F1 of two empty answers is 0. Supporting facts: supporting_facts.h.
#pragma once
#include <span>
#include <string>
#include <string_view>

namespace steno {

enum class QaDialect { squad, trivia, hotpot };

std::string normalise_answer(std::string_view answer, QaDialect dialect);

struct QaScore {
  double exact = 0;
  double f1 = 0;
  // The gold stands inside the prediction, both normalised (HELMET's substring_exact_match). A gold that normalises to
  // nothing stands in everything and counts only when `exact` does.
  double substring = 0;
  double precision = 0, recall = 0;  // of tokens, for the gold with the best F1
};

// The best over `golds` for exact, F1 and substring each. An empty list of golds means unanswerable (squad) or scores
// 0.
QaScore score_answer(std::string_view prediction, std::span<const std::string> golds, QaDialect dialect);

// What of a generated text is the answer: leading space and one "Answer:" (any case) are taken off, then everything
// from the first newline on, then the space around the rest.
std::string cut_answer(std::string_view generated);

}  // namespace steno
