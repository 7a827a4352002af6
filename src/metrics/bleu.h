// BLEU (Papineni et al. 2002) as sacreBLEU 2.6 computes it: raw strings, own tokenizers, scores from 0 to 100.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace steno {

enum class BleuTokens { mteval_13a, none, character };
// What a precision of 0 becomes: exp halves once more for each such order, floor counts `smooth_value` matches, add_k
// adds `smooth_value` to matches and total of every order above 1.
enum class BleuSmoothing { exp, floor, add_k, none };

struct BleuSettings {
  BleuTokens tokens = BleuTokens::mteval_13a;
  BleuSmoothing smoothing = BleuSmoothing::exp;
  std::optional<double> smooth_value;  // unset: 0.1 for floor, 1 for add_k
  bool lower_case = false;
  // Stop at the highest order that the hypothesis is long enough for. For single sentences; without it a hypothesis of
  // fewer than `max_order` tokens scores 0.
  bool effective_order = false;
  int max_order = 4;
};

// Sufficient statistics: they add up over segments, and the score of a corpus is that of the sum.
struct BleuStats {
  int64_t hypothesis_length = 0;
  int64_t reference_length = 0;  // of the closest reference, the shorter of two equally close
  std::vector<int64_t> matches;  // [max_order] clipped matches
  std::vector<int64_t> totals;   // [max_order] n-grams of the hypothesis
  BleuStats& operator+=(const BleuStats& other);
};

struct BleuScore {
  double score = 0;                // 0..100
  std::vector<double> precisions;  // [max_order] in per cent, smoothed
  double brevity_penalty = 0;
};

// Throws InputError for a segment without references.
BleuStats bleu_stats(std::string_view hypothesis, std::span<const std::string> references,
                     const BleuSettings& settings = {});
BleuScore bleu_from_stats(const BleuStats& stats, const BleuSettings& settings = {});

// `references[i]` are those of `hypotheses[i]`. An empty corpus scores 0. Throws InputError when the lists differ in
// length.
BleuScore corpus_bleu(std::span<const std::string> hypotheses, std::span<const std::vector<std::string>> references,
                      const BleuSettings& settings = {});

// sacreBLEU's signature, "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0-steno". `references`: how many
// each segment has, 0 when they differ.
std::string bleu_signature(const BleuSettings& settings, int references = 1);

}  // namespace steno
