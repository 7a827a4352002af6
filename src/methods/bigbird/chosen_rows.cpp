#include "methods/bigbird/chosen_rows.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cstring>

namespace steno {
namespace {

// Rows [to, to + count) of one tensor are rows [from, from + count) of another.
struct Run {
  int64_t to, from, count;
};

void copy_runs(const std::vector<Run>& runs, const at::Tensor& from, const at::Tensor& to) {
  if (!from.is_cpu()) {
    for (const Run& run : runs) to.narrow(2, run.to, run.count).copy_(from.narrow(2, run.from, run.count));
    return;
  }
  const auto bytes = from.size(3) * static_cast<int64_t>(from.element_size());
  const auto* source = static_cast<const std::byte*>(from.const_data_ptr());
  auto* target = static_cast<std::byte*>(to.mutable_data_ptr());
  for (int64_t head = 0; head < from.size(1); ++head)
    for (const Run& run : runs)
      std::memcpy(target + (head * to.size(2) + run.to) * bytes, source + (head * from.size(2) + run.from) * bytes,
                  static_cast<size_t>(run.count * bytes));
}

}  // namespace

std::vector<LayerRows> ChosenRows::choose(const std::vector<LayerRows>& bank, std::span<const int64_t> positions,
                                          int64_t tokens) {
  const auto count = static_cast<int64_t>(positions.size());
  if (k_.empty() || k_[0].size(2) < count + tokens) {
    k_.clear(), v_.clear(), held_.clear();
    for (const LayerRows& layer : bank) {
      const std::vector<int64_t> shape = {1, layer.k.size(1), count + tokens, layer.k.size(3)};
      k_.push_back(at::empty(shape, layer.k.options()));
      v_.push_back(at::empty(shape, layer.v.options()));
    }
  }
  std::vector<Run> runs;
  int64_t changed = 0;
  for (int64_t row = 0; row < count; ++row) {
    const int64_t position = positions[static_cast<size_t>(row)];
    if (row < static_cast<int64_t>(held_.size()) && held_[static_cast<size_t>(row)] == position) continue;
    ++changed;
    if (!runs.empty() && runs.back().to + runs.back().count == row && runs.back().from + runs.back().count == position)
      ++runs.back().count;
    else
      runs.push_back({row, position, 1});
  }
  held_.assign(positions.begin(), positions.end());
  const auto layers = static_cast<int64_t>(bank.size());
  const int64_t grain = changed > 64 ? 1 : layers;
  at::parallel_for(0, layers, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto layer = static_cast<size_t>(i);
      copy_runs(runs, bank[layer].k, k_[layer]);
      copy_runs(runs, bank[layer].v, v_[layer]);
    }
  });
  std::vector<LayerRows> chosen(bank.size());
  for (size_t layer = 0; layer < bank.size(); ++layer) chosen[layer] = {k_[layer], v_[layer], true, count};
  return chosen;
}

int64_t ChosenRows::allocated_bytes() const {
  int64_t bytes = 0;
  for (const auto* tensors : {&k_, &v_})
    for (const at::Tensor& t : *tensors) bytes += static_cast<int64_t>(t.storage().nbytes());
  return bytes;
}

}  // namespace steno
