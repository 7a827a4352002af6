#include "metrics/nltk_bleu.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "base/error.h"
#include "metrics/ngrams.h"

namespace steno {
namespace {

struct Precision {
  double matches = 0, total = 0;
};

std::vector<double> smooth(const std::vector<Precision>& counts, NltkSmoothing smoothing) {
  std::vector<double> precisions;
  double halving = 1;
  for (size_t i = 0; i < counts.size(); ++i) {
    const auto [matches, total] = counts[i];
    if (smoothing == NltkSmoothing::method2 && i > 0)
      precisions.push_back((matches + 1) / (total + 1));
    else if (matches > 0)
      precisions.push_back(matches / total);
    else if (smoothing == NltkSmoothing::method0)
      precisions.push_back(std::numeric_limits<double>::min());
    else if (smoothing == NltkSmoothing::method1)
      precisions.push_back(0.1 / total);
    else
      precisions.push_back(1 / ((halving *= 2) * total));
  }
  return precisions;
}

}  // namespace

std::vector<double> cumulative_weights(int k) {
  return std::vector<double>(static_cast<size_t>(k), 1.0 / static_cast<double>(k));
}

std::vector<double> individual_weights(int k) {
  std::vector<double> weights(static_cast<size_t>(k), 0.0);
  weights.back() = 1;
  return weights;
}

double nltk_sentence_bleu(std::span<const Tokens> references, const Tokens& hypothesis, std::span<const double> weights,
                          NltkSmoothing smoothing) {
  const std::vector<Tokens> own(references.begin(), references.end());
  return nltk_corpus_bleu({&own, 1}, {&hypothesis, 1}, weights, smoothing);
}

double nltk_corpus_bleu(std::span<const std::vector<Tokens>> references, std::span<const Tokens> hypotheses,
                        std::span<const double> weights, NltkSmoothing smoothing) {
  if (hypotheses.size() != references.size())
    throw InputError("[bleu] {} hypotheses but references for {}", hypotheses.size(), references.size());
  std::vector<Precision> counts(weights.size());
  double length = 0, closest_length = 0;
  for (size_t i = 0; i < hypotheses.size(); ++i) {
    const Tokens& given = hypotheses[i];
    if (references[i].empty()) throw InputError("[bleu] a segment has no references; BLEU needs at least one");
    for (size_t n = 1; n <= weights.size(); ++n) {
      NgramCounts<std::string> most;  // over the references
      for (const auto& reference : references[i])
        for (const auto& [ngram, count] : count_ngrams(reference, n)) most[ngram] = std::max(most[ngram], count);
      counts[n - 1].matches += static_cast<double>(overlap(count_ngrams(given, n), most));
      counts[n - 1].total += given.size() < n ? 1 : static_cast<double>(given.size() - n + 1);  // NLTK: at least 1
    }
    const auto size = static_cast<double>(given.size());
    double closest = static_cast<double>(references[i].front().size());
    for (const auto& reference : references[i]) {
      const auto other = static_cast<double>(reference.size());
      const double gain = std::abs(closest - size) - std::abs(other - size);
      if (gain > 0 || (gain == 0 && other < closest)) closest = other;
    }
    length += size;
    closest_length += closest;
  }
  if (counts.empty() || counts[0].matches == 0) return 0;
  const std::vector<double> precisions = smooth(counts, smoothing);
  double log_sum = 0;
  for (size_t i = 0; i < precisions.size(); ++i) log_sum += weights[i] * std::log(precisions[i]);
  return (length > closest_length ? 1 : std::exp(1 - closest_length / length)) * std::exp(log_sum);
}

}  // namespace steno
