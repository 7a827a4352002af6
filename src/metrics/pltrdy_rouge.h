// ROUGE as the Python package "rouge" 1.0.1 (pltrdy) computes it with its defaults, which StreamingDialogue and
// LongBench use. Case and punctuation stay, sentences end at '.', n-grams are counted once however often they occur,
// and ROUGE-L is the union over sentence pairs of one longest common subsequence each, over the number of different
// words. For comparison with such papers only; rouge.h is the default. F1 is a hair (1e-8) below its definition, as in
// the package.
#pragma once
#include <string_view>

#include "metrics/rouge.h"

namespace steno {

// Scores in [0, 1]. A text without a sentence ("" or "...") scores 0, where the package raises. Time and memory
// |sentence of the prediction| * |sentence of the reference|; no recursion, so long texts are scored as well.
RougeScores score_pltrdy_rouge(std::string_view prediction, std::string_view reference);

}  // namespace steno
