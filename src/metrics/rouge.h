// ROUGE (Lin 2004) as google's rouge_score 0.1.2 computes it: precision, recall and F1 in [0, 1]. Its tokens are runs
// of [a-z0-9], so a text without ASCII letters or digits scores 0: give tokens of your own for other scripts. ROUGE-L
// takes the whole text as one sentence. pltrdy's "rouge", which LongBench uses, gives other numbers.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "metrics/python_text.h"

namespace steno {

struct RougeScore {
  double precision = 0, recall = 0, f1 = 0;
};

// The prediction comes first; precision is per prediction token, recall per reference token.
RougeScore rouge_n(const Tokens& prediction, const Tokens& reference, size_t n);
// Longest common subsequence. Time |prediction| * |reference|, memory |reference|.
RougeScore rouge_l(const Tokens& prediction, const Tokens& reference);

struct RougeScores {
  RougeScore rouge1, rouge2, rouge_l;
};

// For each measure the reference with the largest F1. Empty texts and an empty list of references score 0.
RougeScores score_rouge(std::string_view prediction, std::span<const std::string> references, bool stem = true);

}  // namespace steno
