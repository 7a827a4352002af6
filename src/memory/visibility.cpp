#include "memory/visibility.h"

namespace steno {

at::Tensor visibility_mask(const Visibility& rule, const SlotTable& table, std::span<const Slot> own) {
  const int64_t rows = table.size(), steps = static_cast<int64_t>(own.size());
  // A rule is monotone: what the last query still reads, every earlier one reads too.
  bool all_open = true;
  const int64_t last = own.back().position;
  for (int64_t j = 0; j < rows && all_open; ++j) all_open = rule.visible(last, table[j]);
  for (int64_t j = 0; j < steps && all_open; ++j) all_open = rule.visible(last, own[static_cast<size_t>(j)]);
  if (all_open) return {};

  const at::Tensor mask = at::zeros({1, 1, steps, rows + steps}, at::kBool);
  bool* open = mask.mutable_data_ptr<bool>();
  for (int64_t t = 0; t < steps; ++t, open += rows + steps) {
    const int64_t query = own[static_cast<size_t>(t)].position;
    for (int64_t j = 0; j < rows; ++j) open[j] = rule.visible(query, table[j]);
    for (int64_t j = 0; j <= t; ++j) open[rows + j] = rule.visible(query, own[static_cast<size_t>(j)]);
  }
  return mask;
}

std::vector<int64_t> never_visible_again(const Visibility& rule, const SlotTable& table, int64_t next_position) {
  std::vector<int64_t> rows;
  for (int64_t j = 0; j < table.size(); ++j)
    if (!rule.visible(next_position, table[j])) rows.push_back(j);
  return rows;
}

}  // namespace steno
