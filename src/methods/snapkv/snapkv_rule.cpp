#include "methods/snapkv/snapkv_rule.h"

#include <algorithm>

namespace steno {

// Stride 1, padding kernel / 2 on the left. Padding counts as 0 for the average, which always divides by the kernel
// size, and as -inf for the maximum.
void ObservedByWindow::score(const SlotTable& table, std::span<const int64_t> ranked, int64_t,
                             std::span<double> scores) const {
  std::vector<int64_t> rows(ranked.begin(), ranked.end());
  std::sort(rows.begin(), rows.end(), [&](int64_t a, int64_t b) { return table[a].position < table[b].position; });
  const auto count = static_cast<int64_t>(rows.size());
  for (int64_t i = 0; i < count; ++i) {
    const int64_t first = std::max<int64_t>(i - kernel_ / 2, 0), end = std::min(i - kernel_ / 2 + kernel_, count);
    double sum = 0, top = 0;
    for (int64_t j = first; j < end; ++j) {
      const double mass = table[rows[static_cast<size_t>(j)]].mass;
      sum += mass;
      top = std::max(top, mass);
    }
    scores[static_cast<size_t>(rows[static_cast<size_t>(i)])] =
        pooling_ == Pooling::average ? sum / static_cast<double>(kernel_) : top;
  }
}

}  // namespace steno
