// Keys and values of the kept slots of one stream. Tables decide, the bank moves bytes: only append() and evict()
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

// Tables are numbered by layer, then key/value head: one in all, one per layer, or layer * H_kv + head. Layers may hold
// different numbers of rows; the heads of a layer hold equally many (ragged heads would need lengths in the attention).
// Owns its tensors; fork() is the way to copy it. Not thread-safe.
class Bank {
 public:
  Bank(const ModelConfig& model, at::ScalarType dtype, at::Device device, Sharing sharing = Sharing::model);
  Bank(Bank&&) = default;
  Bank& operator=(Bank&&) = default;

  // Room for `tokens` more rows; tensors grow by half when they must, and then shrink never. Throws ResourceError.
  void reserve(int64_t tokens);
  // Rows for Decoder::run: it reads rows [0, size) and writes `tokens` rows after them. Call reserve() first.
  std::vector<LayerRows> rows_for(int64_t tokens) const;
  // The rows that run() has just written become slots, the same ones in every table.
  void commit(std::span<const Slot> slots);
  // With one table for the model.
  Evicted evict(std::span<const int64_t> rows);
  // Row numbers to evict from every table; as many from each head of a layer.
  void evict_each(std::span<const std::vector<int64_t>> rows);

  Sharing sharing() const { return sharing_; }
  int64_t tables() const { return static_cast<int64_t>(tables_.size()); }
  const SlotTable& table(int64_t index = 0) const { return tables_[static_cast<size_t>(index)]; }
  SlotTable& table(int64_t index = 0) { return tables_[static_cast<size_t>(index)]; }
  // The table that a layer and key/value head goes by.
  int64_t table_of(int64_t layer, int64_t kv_head) const;
  int64_t size(int64_t layer = 0) const { return table(table_of(layer, 0)).size(); }
  // Bytes of the kept rows, summed over their tensors; `allocated_bytes` counts the room for the next chunk too.
  int64_t memory_bytes() const;
  int64_t allocated_bytes() const;
  Bank fork() const;

  // The kept rows as tensors: "k.<layer>", "v.<layer>" [H_kv, S, d_h] and the tables' columns, in physical order (so
  // that a reloaded stream continues with the same bits): "slot.<column>" [S] of the model's table, or
  // "slot.<layer>.<column>", [S] or [H_kv, S]. Saved tensors may be views of the bank's; load() copies, and throws
  // InputError and changes nothing when they do not fit.
  std::vector<std::pair<std::string, at::Tensor>> save() const;
  void load(const std::vector<std::pair<std::string, at::Tensor>>& tensors);

 private:
  Bank(const Bank&) = default;  // shares the tensors; a step of fork()
  int64_t layers() const { return static_cast<int64_t>(k_.size()); }
  int64_t heads() const { return k_[0].size(1); }
  int64_t planes() const { return sharing_ == Sharing::head ? heads() : 1; }  // tables of a layer
  void move_rows(const std::vector<std::vector<SlotTable::Move>>& moves);

  Sharing sharing_;
  std::vector<SlotTable> tables_;
  std::vector<at::Tensor> k_, v_;  // [layers] of [1, H_kv, capacity, d_h], contiguous
  std::vector<int64_t> capacity_;  // [layers]
};

}  // namespace steno
