// Perplexity and bits per character from sums of negative log likelihoods.
#pragma once
#include <cstdint>
#include <span>

namespace steno {

// Of one item (a dialogue, a document) or of many: they add up.
struct NllSum {
  double nll = 0;          // natural logarithm, summed over the scored tokens
  int64_t tokens = 0;      // scored tokens
  int64_t characters = 0;  // characters (code points) that the scored tokens spell
  NllSum& operator+=(const NllSum& other);
};

NllSum total_nll(std::span<const NllSum> items);

// exp(sum nll / tokens) over all items: the default. NaN without scored tokens, and never comparable across tokenizers.
double micro_perplexity(std::span<const NllSum> items);
// exp(mean over items of the item's mean nll), as StreamingDialogue's script computes it. Items without scored tokens
// have no mean and are left out; count them with count_unscored() and show the number.
double macro_perplexity(std::span<const NllSum> items);
int64_t count_unscored(std::span<const NllSum> items);
// sum nll / (ln 2 * characters); comparable across tokenizers. NaN without characters.
double bits_per_character(std::span<const NllSum> items);

}  // namespace steno
