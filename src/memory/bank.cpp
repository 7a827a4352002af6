#include "memory/bank.h"

#include <algorithm>

#include "base/error.h"

namespace steno {
namespace {

constexpr const char* kColumns[] = {"position", "segment", "born", "last_use", "role"};

int64_t column(const Slot& slot, int which) {
  switch (which) {
    case 0:
      return slot.position;
    case 1:
      return slot.segment;
    case 2:
      return slot.born;
    case 3:
      return slot.last_use;
    default:
      return static_cast<int64_t>(slot.role);
  }
}

}  // namespace

Bank::Bank(const ModelConfig& model, at::ScalarType dtype, at::Device device) {
  const auto options = at::TensorOptions(dtype).device(device);
  for (int64_t layer = 0; layer < model.layers; ++layer) {
    k_.push_back(at::empty({1, model.kv_heads, 0, model.d_h}, options));
    v_.push_back(at::empty({1, model.kv_heads, 0, model.d_h}, options));
  }
}

void Bank::reserve(int64_t tokens) {
  const int64_t needed = size() + tokens;
  if (needed <= capacity_) return;
  const int64_t capacity = std::max(needed, capacity_ + capacity_ / 2);
  try {
    for (auto* tensors : {&k_, &v_}) {
      for (at::Tensor& old : *tensors) {
        at::Tensor grown = at::empty({1, old.size(1), capacity, old.size(3)}, old.options());
        grown.narrow(2, 0, size()).copy_(old.narrow(2, 0, size()));
        old = std::move(grown);
      }
    }
  } catch (const c10::Error&) {
    // In floating point: what could not be allocated may not be countable in 64 bits either.
    const double slot_bytes = 2.0 * static_cast<double>(k_.size()) *
                              static_cast<double>(k_[0].size(1) * k_[0].size(3)) *
                              static_cast<double>(k_[0].element_size());
    throw ResourceError(
        "out of memory: {} slots need {:.0f} MiB of keys and values; use a smaller --budget or a method that evicts",
        capacity, slot_bytes * static_cast<double>(capacity) / (1 << 20));
  }
  capacity_ = capacity;
}

std::vector<LayerRows> Bank::rows_for(int64_t tokens) const {
  TORCH_CHECK(size() + tokens <= capacity_, "reserve() before rows_for()");
  std::vector<LayerRows> rows(k_.size());
  for (size_t layer = 0; layer < k_.size(); ++layer) rows[layer] = {k_[layer], v_[layer], true, size()};
  return rows;
}

void Bank::commit(std::span<const Slot> slots) {
  for (const Slot& slot : slots) table_.append(slot);
}

Evicted Bank::evict(std::span<const int64_t> rows) {
  Evicted evicted;
  if (rows.empty()) return evicted;
  for (const int64_t row : rows) evicted.slots.push_back(table_[row]);
  std::sort(evicted.slots.begin(), evicted.slots.end(),
            [](const Slot& a, const Slot& b) { return a.position < b.position; });
  const auto moves = table_.evict(rows);
  if (moves.empty()) return evicted;
  if (moves.size() == 1) {  // every decode step at capacity
    for (auto* tensors : {&k_, &v_})
      for (at::Tensor& t : *tensors) t.select(2, moves[0].to).copy_(t.select(2, moves[0].from));
    return evicted;
  }
  const auto count = static_cast<int64_t>(moves.size());
  at::Tensor from = at::empty({count}, at::kLong), to = at::empty({count}, at::kLong);
  for (int64_t i = 0; i < count; ++i) {
    from.mutable_data_ptr<int64_t>()[i] = moves[static_cast<size_t>(i)].from;
    to.mutable_data_ptr<int64_t>()[i] = moves[static_cast<size_t>(i)].to;
  }
  from = from.to(k_[0].device());
  to = to.to(k_[0].device());
  for (auto* tensors : {&k_, &v_})
    for (at::Tensor& t : *tensors) t.index_copy_(2, to, t.index_select(2, from));
  return evicted;
}

int64_t Bank::memory_bytes() const {
  int64_t bytes = 0;
  for (const auto* tensors : {&k_, &v_})
    for (const at::Tensor& t : *tensors) bytes += static_cast<int64_t>(t.narrow(2, 0, size()).nbytes());
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
  copy.capacity_ = size();
  for (auto* tensors : {&copy.k_, &copy.v_})
    for (at::Tensor& t : *tensors) t = t.narrow(2, 0, size()).clone(at::MemoryFormat::Contiguous);
  return copy;
}

std::vector<std::pair<std::string, at::Tensor>> Bank::save() const {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (size_t layer = 0; layer < k_.size(); ++layer) {
    tensors.emplace_back(fmt::format("k.{}", layer), k_[layer].narrow(2, 0, size()).squeeze(0).contiguous());
    tensors.emplace_back(fmt::format("v.{}", layer), v_[layer].narrow(2, 0, size()).squeeze(0).contiguous());
  }
  for (int c = 0; c < 5; ++c) {
    at::Tensor values = at::empty({size()}, at::kLong);
    for (int64_t row = 0; row < size(); ++row) values.mutable_data_ptr<int64_t>()[row] = column(table_[row], c);
    tensors.emplace_back(fmt::format("slot.{}", kColumns[c]), values);
  }
  at::Tensor mass = at::empty({size()}, at::kDouble);
  for (int64_t row = 0; row < size(); ++row) mass.mutable_data_ptr<double>()[row] = table_[row].mass;
  tensors.emplace_back("slot.mass", mass);
  return tensors;
}

void Bank::load(const std::vector<std::pair<std::string, at::Tensor>>& tensors) {
  const auto find = [&](const std::string& name, at::ScalarType type) -> at::Tensor {
    for (const auto& [key, tensor] : tensors) {
      if (key != name) continue;
      if (tensor.scalar_type() != type)
        throw InputError("tensor '{}' is {}, expected {}", name, toString(tensor.scalar_type()), toString(type));
      return tensor.contiguous();
    }
    throw InputError("tensor '{}' is missing", name);
  };
  const at::Tensor positions = find("slot.position", at::kLong);
  const int64_t count = positions.numel();
  const auto checked_column = [&](const std::string& name, at::ScalarType type) {
    const at::Tensor t = find("slot." + name, type);
    if (t.dim() != 1 || t.numel() != count) throw InputError("tensor 'slot.{}' does not have {} entries", name, count);
    return t;
  };
  std::vector<Slot> slots(static_cast<size_t>(count));
  const at::Tensor columns[] = {checked_column("position", at::kLong), checked_column("segment", at::kLong),
                                checked_column("born", at::kLong), checked_column("last_use", at::kLong),
                                checked_column("role", at::kLong)};
  const at::Tensor mass = checked_column("mass", at::kDouble);
  for (int64_t i = 0; i < count; ++i) {
    const auto value = [&](int c) { return columns[c].const_data_ptr<int64_t>()[i]; };
    if (value(4) < 0 || value(4) > static_cast<int64_t>(Role::memory))
      throw InputError("slot {} has role {}", i, value(4));
    slots[static_cast<size_t>(i)] = {
        value(0), value(1), value(2), value(3), mass.const_data_ptr<double>()[i], static_cast<Role>(value(4))};
  }
  std::vector<at::Tensor> k, v;
  for (size_t layer = 0; layer < k_.size(); ++layer) {
    for (auto* side : {&k, &v}) {
      const std::string name = fmt::format("{}.{}", side == &k ? "k" : "v", layer);
      const at::Tensor t = find(name, k_[layer].scalar_type());
      if (t.dim() != 3 || t.size(0) != k_[layer].size(1) || t.size(1) != count || t.size(2) != k_[layer].size(3))
        throw InputError("tensor '{}' does not fit the model", name);
      side->push_back(t.unsqueeze(0).to(k_[layer].device()).clone());
    }
  }
  k_ = std::move(k);
  v_ = std::move(v);
  capacity_ = count;
  table_ = SlotTable();
  for (const Slot& slot : slots) table_.append(slot);
}

}  // namespace steno
