#include "metrics/perplexity.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace steno {
namespace {

// NaN for nothing by nothing, and for something by nothing too.
double ratio(double sum, double count) { return count > 0 ? sum / count : std::numeric_limits<double>::quiet_NaN(); }

}  // namespace

NllSum& NllSum::operator+=(const NllSum& other) {
  nll += other.nll;
  tokens += other.tokens;
  characters += other.characters;
  return *this;
}

NllSum total_nll(std::span<const NllSum> items) {
  NllSum total;
  for (const NllSum& item : items) total += item;
  return total;
}

double micro_perplexity(std::span<const NllSum> items) {
  const NllSum total = total_nll(items);
  return std::exp(ratio(total.nll, static_cast<double>(total.tokens)));
}

double macro_perplexity(std::span<const NllSum> items) {
  double sum = 0, count = 0;
  for (const NllSum& item : items) {
    if (item.tokens == 0) continue;
    sum += item.nll / static_cast<double>(item.tokens);
    ++count;
  }
  return std::exp(ratio(sum, count));
}

int64_t count_unscored(std::span<const NllSum> items) {
  return std::count_if(items.begin(), items.end(), [](const NllSum& item) { return item.tokens == 0; });
}

double bits_per_character(std::span<const NllSum> items) {
  const NllSum total = total_nll(items);
  return ratio(total.nll, std::numbers::ln2 * static_cast<double>(total.characters));
}

}  // namespace steno
