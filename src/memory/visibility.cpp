#include "memory/visibility.h"

#include <algorithm>

namespace steno {

at::Tensor visibility_mask(const Visibility& rule, const SlotTable& table, std::span<const Slot> own) {
  const int64_t rows = table.size(), steps = static_cast<int64_t>(own.size());
  // What the last query still reads, every earlier one reads too, if the rule is monotone.
  if (rule.monotone()) {
    const int64_t last = own.back().position;
    const auto open = [&](const Slot& slot) { return rule.visible(last, slot); };
    bool all_open = std::all_of(own.begin(), own.end(), open);
    for (int64_t j = 0; j < rows && all_open; ++j) all_open = open(table[j]);
    if (all_open) return {};
  }

  const at::Tensor mask = at::zeros({1, 1, steps, rows + steps}, at::kBool);
  bool causal = true;
  bool* open = mask.mutable_data_ptr<bool>();
  for (int64_t t = 0; t < steps; ++t, open += rows + steps) {
    const int64_t query = own[static_cast<size_t>(t)].position;
    for (int64_t j = 0; j < rows; ++j) causal &= open[j] = rule.visible(query, table[j]);
    for (int64_t j = 0; j <= t; ++j) causal &= open[rows + j] = rule.visible(query, own[static_cast<size_t>(j)]);
  }
  return causal ? at::Tensor() : mask;
}

std::vector<int64_t> never_visible_again(const Visibility& rule, const SlotTable& table, int64_t next_position) {
  if (!rule.monotone()) return {};
  std::vector<int64_t> rows;
  for (int64_t j = 0; j < table.size(); ++j)
    if (!rule.visible(next_position, table[j])) rows.push_back(j);
  return rows;
}

}  // namespace steno
