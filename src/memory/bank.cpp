#include "memory/bank.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace steno {

Bank::Bank(const ModelConfig& model, at::ScalarType dtype, at::Device device, Sharing sharing)
    : sharing_(sharing), capacity_(static_cast<size_t>(model.layers), 0) {
  const auto options = at::TensorOptions(dtype).device(device);
  for (int64_t layer = 0; layer < model.layers; ++layer) {
    k_.push_back(at::empty({1, model.kv_heads, 0, model.d_h}, options));
    v_.push_back(at::empty({1, model.kv_heads, 0, model.d_h}, options));
  }
  tables_.resize(static_cast<size_t>(sharing == Sharing::model ? 1 : layers() * planes()));
}

int64_t Bank::table_of(int64_t layer, int64_t kv_head) const {
  switch (sharing_) {
    case Sharing::model:
      return 0;
    case Sharing::layer:
      return layer;
    default:
      return layer * heads() + kv_head;
  }
}

void Bank::reserve(int64_t tokens) {
  for (int64_t layer = 0; layer < layers(); ++layer) {
    const int64_t needed = size(layer) + tokens;
    int64_t& capacity = capacity_[static_cast<size_t>(layer)];
    if (needed <= capacity) continue;
    const int64_t wanted = std::max(needed, capacity + capacity / 2);
    try {
      for (auto* tensors : {&k_, &v_}) {
        at::Tensor& old = (*tensors)[static_cast<size_t>(layer)];
        at::Tensor grown = at::empty({1, old.size(1), wanted, old.size(3)}, old.options());
        grown.narrow(2, 0, size(layer)).copy_(old.narrow(2, 0, size(layer)));
        old = std::move(grown);
      }
    } catch (const c10::Error&) {
      // In floating point: what could not be allocated may not be countable in 64 bits either.
      const double slot_bytes = 2.0 * static_cast<double>(k_.size()) * static_cast<double>(heads() * k_[0].size(3)) *
                                static_cast<double>(k_[0].element_size());
      throw ResourceError(
          "out of memory: {} slots need {:.0f} MiB of keys and values; use a smaller --budget or a method that evicts",
          wanted, slot_bytes * static_cast<double>(wanted) / (1 << 20));
    }
    capacity = wanted;
  }
}

std::vector<LayerRows> Bank::rows_for(int64_t tokens) const {
  std::vector<LayerRows> rows(k_.size());
  for (size_t layer = 0; layer < k_.size(); ++layer) {
    const int64_t used = size(static_cast<int64_t>(layer));
    TORCH_CHECK(used + tokens <= capacity_[layer], "reserve() before rows_for()");
    rows[layer] = {k_[layer], v_[layer], true, used};
  }
  return rows;
}

void Bank::commit(std::span<const Slot> slots) {
  for (SlotTable& table : tables_)
    for (const Slot& slot : slots) table.append(slot);
}

Evicted Bank::evict(std::span<const int64_t> rows) {
  TORCH_CHECK(sharing_ == Sharing::model, "every table needs victims of its own");
  Evicted evicted;
  if (rows.empty()) return evicted;
  for (const int64_t row : rows) evicted.slots.push_back(table()[row]);
  std::sort(evicted.slots.begin(), evicted.slots.end(),
            [](const Slot& a, const Slot& b) { return a.position < b.position; });
  move_rows({table().evict(rows)});
  return evicted;
}

void Bank::evict_each(std::span<const std::vector<int64_t>> rows) {
  TORCH_CHECK(static_cast<int64_t>(rows.size()) == tables(), "victims of every table");
  for (size_t i = 0; i < rows.size(); ++i)
    TORCH_CHECK(sharing_ != Sharing::head || rows[i].size() == rows[i - i % static_cast<size_t>(heads())].size(),
                "heads of a layer lose equally many rows");
  std::vector<std::vector<SlotTable::Move>> moves(rows.size());
  at::parallel_for(0, tables(), 8, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      moves[static_cast<size_t>(i)] = tables_[static_cast<size_t>(i)].evict(rows[static_cast<size_t>(i)]);
  });
  move_rows(moves);
}

// Moves of every table. A move never reads a row that another one writes.
void Bank::move_rows(const std::vector<std::vector<SlotTable::Move>>& moves) {
  size_t most = 0;
  for (const auto& list : moves) most = std::max(most, list.size());
  if (most == 0) return;
  if (k_[0].is_cpu()) {
    const int64_t row_bytes = k_[0].size(3) * static_cast<int64_t>(k_[0].element_size());
    const int64_t grain = std::max<int64_t>(1, (int64_t{1} << 16) / (row_bytes * static_cast<int64_t>(most)));
    at::parallel_for(0, layers() * heads(), grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t layer = i / heads(), head = i % heads();
        const auto& list = moves[static_cast<size_t>(table_of(layer, head))];
        for (const auto* tensors : {&k_, &v_}) {
          const at::Tensor& t = (*tensors)[static_cast<size_t>(layer)];
          auto* rows = static_cast<std::byte*>(t.mutable_data_ptr()) + head * t.size(2) * row_bytes;
          for (const auto& [from, to] : list) std::memcpy(rows + to * row_bytes, rows + from * row_bytes, row_bytes);
        }
      }
    });
    return;
  }
  at::Tensor from, to;  // in a layer's rows of all heads, one behind the other
  for (int64_t layer = 0; layer < layers(); ++layer) {
    const int64_t capacity = k_[static_cast<size_t>(layer)].size(2);
    if (sharing_ != Sharing::model || layer == 0) {
      std::vector<int64_t> sources, targets;
      for (int64_t head = 0; head < heads(); ++head) {
        for (const auto& move : moves[static_cast<size_t>(table_of(layer, head))]) {
          sources.push_back(head * capacity + move.from);
          targets.push_back(head * capacity + move.to);
        }
      }
      from = at::tensor(sources, at::kLong).to(k_[0].device());
      to = at::tensor(targets, at::kLong).to(k_[0].device());
    }
    for (const auto* tensors : {&k_, &v_}) {
      const at::Tensor& t = (*tensors)[static_cast<size_t>(layer)];
      at::Tensor rows = t.view({heads() * capacity, t.size(3)});
      rows.index_copy_(0, to, rows.index_select(0, from));
    }
  }
}

int64_t Bank::memory_bytes() const {
  int64_t bytes = 0;
  for (const auto* tensors : {&k_, &v_})
    for (size_t layer = 0; layer < k_.size(); ++layer)
      bytes += static_cast<int64_t>((*tensors)[layer].narrow(2, 0, size(static_cast<int64_t>(layer))).nbytes());
  return bytes;
}

int64_t Bank::allocated_bytes() const {
  int64_t bytes = 0;
  for (const auto* tensors : {&k_, &v_})
    for (const at::Tensor& t : *tensors) bytes += static_cast<int64_t>(t.storage().nbytes());
  return bytes;
}

Bank Bank::fork() const {
  Bank copy(*this);
  for (size_t layer = 0; layer < k_.size(); ++layer) {
    const int64_t used = copy.capacity_[layer] = size(static_cast<int64_t>(layer));
    for (auto* tensors : {&copy.k_, &copy.v_})
      (*tensors)[layer] = (*tensors)[layer].narrow(2, 0, used).clone(at::MemoryFormat::Contiguous);
  }
  return copy;
}

}  // namespace steno
