// Saving and loading of banks.
#include "base/error.h"
#include "memory/bank.h"

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

std::vector<std::pair<std::string, at::Tensor>> Bank::save() const {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (int64_t layer = 0; layer < layers(); ++layer) {
    for (const auto* side : {&k_, &v_})
      tensors.emplace_back(fmt::format("{}.{}", side == &k_ ? "k" : "v", layer),
                           (*side)[static_cast<size_t>(layer)].narrow(2, 0, size(layer)).squeeze(0).contiguous());
  }
  for (int64_t first = 0; first < tables(); first += planes()) {
    const int64_t count = table(first).size();
    const std::string prefix = sharing_ == Sharing::model ? "slot." : fmt::format("slot.{}.", first / planes());
    const std::vector<int64_t> shape =
        sharing_ == Sharing::head ? std::vector<int64_t>{planes(), count} : std::vector<int64_t>{count};
    for (int c = 0; c < 5; ++c) {
      const at::Tensor values = at::empty(shape, at::kLong);
      int64_t* value = values.mutable_data_ptr<int64_t>();
      for (int64_t plane = 0; plane < planes(); ++plane)
        for (int64_t row = 0; row < count; ++row) *value++ = column(table(first + plane)[row], c);
      tensors.emplace_back(prefix + kColumns[c], values);
    }
    const at::Tensor masses = at::empty(shape, at::kDouble);
    double* mass = masses.mutable_data_ptr<double>();
    for (int64_t plane = 0; plane < planes(); ++plane)
      for (int64_t row = 0; row < count; ++row) *mass++ = table(first + plane)[row].mass;
    tensors.emplace_back(prefix + "mass", masses);
  }
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
  std::vector<SlotTable> tables(tables_.size());
  for (int64_t first = 0; first < this->tables(); first += planes()) {
    const std::string prefix = sharing_ == Sharing::model ? "slot." : fmt::format("slot.{}.", first / planes());
    const bool by_head = sharing_ == Sharing::head;
    const int64_t count = find(prefix + "position", at::kLong).numel() / planes();
    const auto checked_column = [&](const char* name, at::ScalarType type) {
      const at::Tensor t = find(prefix + name, type);
      if (t.dim() != (by_head ? 2 : 1) || t.size(-1) != count || t.numel() != count * planes())
        throw InputError("tensor '{}{}' does not have {} entries{}", prefix, name, count,
                         by_head ? fmt::format(" for each of {} heads", planes()) : "");
      return t;
    };
    at::Tensor columns[5];
    for (int c = 0; c < 5; ++c) columns[c] = checked_column(kColumns[c], at::kLong);
    const at::Tensor mass = checked_column("mass", at::kDouble);
    for (int64_t i = 0; i < planes() * count; ++i) {
      const auto value = [&](int c) { return columns[c].const_data_ptr<int64_t>()[i]; };
      if (value(4) < 0 || value(4) > static_cast<int64_t>(Role::memory))
        throw InputError("slot {} has role {}", i % count, value(4));
      tables[static_cast<size_t>(first + i / count)].append(
          {value(0), value(1), value(2), value(3), mass.const_data_ptr<double>()[i], static_cast<Role>(value(4))});
    }
  }
  std::vector<at::Tensor> k, v;
  std::vector<int64_t> capacity;
  for (int64_t layer = 0; layer < layers(); ++layer) {
    const int64_t count = tables[static_cast<size_t>(table_of(layer, 0))].size();
    const at::Tensor& own = k_[static_cast<size_t>(layer)];
    for (auto* side : {&k, &v}) {
      const std::string name = fmt::format("{}.{}", side == &k ? "k" : "v", layer);
      const at::Tensor t = find(name, own.scalar_type());
      if (t.dim() != 3 || t.size(0) != own.size(1) || t.size(1) != count || t.size(2) != own.size(3))
        throw InputError("tensor '{}' does not fit the model", name);
      side->push_back(t.unsqueeze(0).to(own.device()).clone());
    }
    capacity.push_back(count);
  }
  k_ = std::move(k);
  v_ = std::move(v);
  capacity_ = std::move(capacity);
  tables_ = std::move(tables);
}

}  // namespace steno
