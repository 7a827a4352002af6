// Keys and values of the kept slots of one stream. The table decides, the bank moves bytes: only append() and evict()
// change it. Rows are dense (0 .. size-1) in physical order; see SlotTable.
#pragma once
#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "memory/slot_table.h"
#include "model/decoder.h"

namespace steno {

struct Evicted {
  std::vector<Slot> slots;  // ascending position
};

// Owns its tensors; fork() is the way to copy it. Not thread-safe.
class Bank {
 public:
  Bank(const ModelConfig& model, at::ScalarType dtype, at::Device device);
  Bank(Bank&&) = default;
  Bank& operator=(Bank&&) = default;

  // Room for `tokens` more rows; tensors grow by half when they must, and then shrink never. Throws ResourceError.
  void reserve(int64_t tokens);
  // Rows for Decoder::run: it reads rows [0, size) and writes `tokens` rows after them. Call reserve() first.
  std::vector<LayerRows> rows_for(int64_t tokens) const;
  // The rows that run() has just written become slots.
  void commit(std::span<const Slot> slots);
  Evicted evict(std::span<const int64_t> rows);

  const SlotTable& table() const { return table_; }
  SlotTable& table() { return table_; }
  int64_t size() const { return table_.size(); }
  // Bytes of the kept rows, summed over their tensors; `allocated_bytes` counts the room for the next chunk too.
  int64_t memory_bytes() const;
  int64_t allocated_bytes() const;
  Bank fork() const;

  // The kept rows as tensors: "k.<layer>", "v.<layer>" [H_kv, S, d_h] and the table's columns, in physical order (so
  // that a reloaded stream continues with the same bits). Saved tensors may be views of the bank's; load() copies, and
  // throws InputError and changes nothing when they do not fit.
  std::vector<std::pair<std::string, at::Tensor>> save() const;
  void load(const std::vector<std::pair<std::string, at::Tensor>>& tensors);

 private:
  Bank(const Bank&) = default;  // shares the tensors; a step of fork()

  SlotTable table_;
  std::vector<at::Tensor> k_, v_;  // [layers] of [1, H_kv, capacity, d_h]
  int64_t capacity_ = 0;
};

}  // namespace steno
