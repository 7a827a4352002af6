#include "metrics/rouge.h"

#include <algorithm>
#include <vector>

#include "metrics/ngrams.h"
#include "metrics/tokenise.h"

namespace steno {
namespace {

RougeScore score_of(double common, double predicted, double wanted) {
  RougeScore score;
  score.precision = common / std::max(predicted, 1.0);
  score.recall = common / std::max(wanted, 1.0);
  if (common > 0) score.f1 = 2 * score.precision * score.recall / (score.precision + score.recall);
  return score;
}

double ngrams_in(const Tokens& tokens, size_t n) {
  return tokens.size() < n ? 0 : static_cast<double>(tokens.size() - n + 1);
}

}  // namespace

RougeScore rouge_n(const Tokens& prediction, const Tokens& reference, size_t n) {
  const int64_t common = overlap(count_ngrams(prediction, n), count_ngrams(reference, n));
  return score_of(static_cast<double>(common), ngrams_in(prediction, n), ngrams_in(reference, n));
}

RougeScore rouge_l(const Tokens& prediction, const Tokens& reference) {
  // longest[j]: of the prediction so far and the first j tokens of the reference.
  std::vector<int64_t> longest(reference.size() + 1, 0);
  for (const auto& token : prediction) {
    int64_t diagonal = 0;
    for (size_t j = 1; j <= reference.size(); ++j) {
      const int64_t above = longest[j];
      longest[j] = token == reference[j - 1] ? diagonal + 1 : std::max(above, longest[j - 1]);
      diagonal = above;
    }
  }
  return score_of(static_cast<double>(longest.back()), static_cast<double>(prediction.size()),
                  static_cast<double>(reference.size()));
}

RougeScores score_rouge(std::string_view prediction, std::span<const std::string> references, bool stem) {
  const Tokens given = tokenise_rouge(prediction, stem);
  RougeScores best;
  const auto keep_better = [](RougeScore& kept, const RougeScore& score) {
    if (score.f1 > kept.f1) kept = score;
  };
  for (const auto& reference : references) {
    const Tokens wanted = tokenise_rouge(reference, stem);
    keep_better(best.rouge1, rouge_n(given, wanted, 1));
    keep_better(best.rouge2, rouge_n(given, wanted, 2));
    keep_better(best.rouge_l, rouge_l(given, wanted));
  }
  return best;
}

}  // namespace steno
