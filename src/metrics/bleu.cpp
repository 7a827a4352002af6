#include "metrics/bleu.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <stdexcept>

#include "base/error.h"
#include "metrics/ngrams.h"
#include "metrics/tokenise.h"

namespace steno {
namespace {

Tokens tokenise(std::string_view text, const BleuSettings& settings) {
  const std::string line = strip_end(settings.lower_case ? to_lower(text) : text);
  switch (settings.tokens) {
    case BleuTokens::mteval_13a:
      return tokenise_13a(line);
    case BleuTokens::none:
      return split_spaces(line);
    case BleuTokens::character:
      break;
  }
  Tokens characters = tokenise_characters(line);
  std::erase_if(characters, [](const auto& c) { return is_python_space(to_characters(c).front()); });
  return characters;
}

double smooth_value(const BleuSettings& settings) {
  return settings.smooth_value.value_or(settings.smoothing == BleuSmoothing::floor ? 0.1 : 1.0);
}

int64_t closest_length(int64_t hypothesis, const std::vector<Tokens>& references) {
  const auto key = [&](const Tokens& reference) {
    const auto length = static_cast<int64_t>(reference.size());
    return std::pair(std::abs(length - hypothesis), length);
  };
  const auto closer = [&](const Tokens& a, const Tokens& b) { return key(a) < key(b); };
  return static_cast<int64_t>(std::min_element(references.begin(), references.end(), closer)->size());
}

}  // namespace

BleuStats& BleuStats::operator+=(const BleuStats& other) {
  hypothesis_length += other.hypothesis_length;
  reference_length += other.reference_length;
  matches.resize(std::max(matches.size(), other.matches.size()));
  totals.resize(matches.size());
  for (size_t i = 0; i < other.matches.size(); ++i) {
    matches[i] += other.matches[i];
    totals[i] += other.totals[i];
  }
  return *this;
}

BleuStats bleu_stats(std::string_view hypothesis, std::span<const std::string> references,
                     const BleuSettings& settings) {
  if (references.empty()) throw InputError("[bleu] a segment has no references; BLEU needs at least one");
  const Tokens given = tokenise(hypothesis, settings);
  std::vector<Tokens> wanted;
  for (const auto& reference : references) wanted.push_back(tokenise(reference, settings));
  BleuStats stats;
  stats.hypothesis_length = static_cast<int64_t>(given.size());
  stats.reference_length = closest_length(stats.hypothesis_length, wanted);
  for (size_t n = 1; n <= static_cast<size_t>(settings.max_order); ++n) {
    NgramCounts<std::string> most;  // over the references
    for (const auto& reference : wanted)
      for (const auto& [ngram, count] : count_ngrams(reference, n)) most[ngram] = std::max(most[ngram], count);
    stats.matches.push_back(overlap(count_ngrams(given, n), most));
    stats.totals.push_back(given.size() < n ? 0 : static_cast<int64_t>(given.size() - n + 1));
  }
  return stats;
}

BleuScore bleu_from_stats(const BleuStats& stats, const BleuSettings& settings) {
  const auto orders = static_cast<size_t>(settings.max_order);
  if (!stats.matches.empty() && stats.matches.size() != orders)
    throw std::invalid_argument("bleu_from_stats: statistics of another order");
  BleuScore result;
  result.precisions.assign(orders, 0);
  const auto c = static_cast<double>(stats.hypothesis_length), r = static_cast<double>(stats.reference_length);
  result.brevity_penalty = c >= r ? 1 : c > 0 ? std::exp(1 - r / c) : 0;
  if (std::all_of(stats.matches.begin(), stats.matches.end(), [](int64_t m) { return m == 0; })) return result;

  double halving = 1;
  size_t order = orders;
  for (size_t i = 0; i < orders; ++i) {
    const double added = settings.smoothing == BleuSmoothing::add_k && i > 0 ? smooth_value(settings) : 0;
    const double matches = static_cast<double>(stats.matches[i]) + added;
    const double total = static_cast<double>(stats.totals[i]) + added;
    if (total == 0) break;
    if (settings.effective_order) order = i + 1;
    if (matches > 0)
      result.precisions[i] = 100 * matches / total;
    else if (settings.smoothing == BleuSmoothing::exp)
      result.precisions[i] = 100 / ((halving *= 2) * total);
    else if (settings.smoothing == BleuSmoothing::floor)
      result.precisions[i] = 100 * smooth_value(settings) / total;
  }
  double log_sum = 0;
  for (size_t i = 0; i < order; ++i) log_sum += std::log(result.precisions[i]);  // log 0 is -inf and makes the score 0
  result.score = result.brevity_penalty * std::exp(log_sum / static_cast<double>(order));
  return result;
}

BleuScore corpus_bleu(std::span<const std::string> hypotheses, std::span<const std::vector<std::string>> references,
                      const BleuSettings& settings) {
  if (hypotheses.size() != references.size())
    throw InputError("[bleu] {} hypotheses but references for {}", hypotheses.size(), references.size());
  BleuStats sum;
  for (size_t i = 0; i < hypotheses.size(); ++i) sum += bleu_stats(hypotheses[i], references[i], settings);
  return bleu_from_stats(sum, settings);
}

std::string bleu_signature(const BleuSettings& settings, int references) {
  constexpr const char* kTokens[] = {"13a", "none", "char"};
  constexpr const char* kSmoothing[] = {"exp", "floor", "add-k", "none"};
  std::string smoothing = kSmoothing[static_cast<int>(settings.smoothing)];
  if (settings.smoothing == BleuSmoothing::floor || settings.smoothing == BleuSmoothing::add_k)
    smoothing += fmt::format("[{:.2f}]", smooth_value(settings));
  return fmt::format("nrefs:{}|case:{}|eff:{}|tok:{}|smooth:{}|version:2.6.0-steno",
                     references > 0 ? std::to_string(references) : "var", settings.lower_case ? "lc" : "mixed",
                     settings.effective_order ? "yes" : "no", kTokens[static_cast<int>(settings.tokens)], smoothing);
}

}  // namespace steno
