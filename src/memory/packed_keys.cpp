#include "memory/packed_keys.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace steno {

const RotaryTable& PackedKeys::angles(int64_t layer, int64_t length) {
  const ModelConfig& config = decoder_->config();
  const bool local = config.kinds[static_cast<size_t>(layer)].local_rope;
  const RopeConfig& rope = local ? config.local_rope : config.rope;
  Angles& known = local ? local_ : global_;
  if (known.rows < length || (rope.scaling == RopeScaling::dynamic && known.length != length)) {
    known.rows = std::max(length, known.rows + known.rows / 2);
    known.length = length;
    known.table = rotary_table(rope, config.d_h, at::arange(known.rows, at::kLong).unsqueeze(0), length);
    known.table.cos = known.table.cos[0].to(decoder_->device());
    known.table.sin = known.table.sin[0].to(decoder_->device());
  }
  return known.table;
}

std::vector<LayerRows> PackedKeys::rows_for(const Bank& bank, int64_t tokens,
                                            const std::vector<std::vector<int64_t>>& ranks, int64_t length) {
  std::vector<LayerRows> rows = bank.rows_for(tokens);
  turned_.resize(rows.size());
  for (size_t layer = 0; layer < rows.size(); ++layer) {
    const at::Tensor& stored = rows[layer].k;
    at::Tensor& turned = turned_[layer];
    if (!turned.defined() || turned.sizes() != stored.sizes()) {
      turned = at::Tensor();  // gone before the new one is there
      turned = at::empty_like(stored);
    }
    const int64_t used = rows[layer].used, heads = stored.size(1);
    if (used > 0) {
      // Each head with ranks of its own is an entry of a batch to the rotation.
      const int64_t planes = bank.sharing() == Sharing::head ? heads : 1;
      const at::Tensor index = at::empty({planes * used}, at::kLong);
      int64_t* out = index.mutable_data_ptr<int64_t>();
      for (int64_t plane = 0; plane < planes; ++plane) {
        const auto& list = ranks[static_cast<size_t>(bank.table_of(static_cast<int64_t>(layer), plane))];
        out = std::copy(list.begin(), list.end(), out);
      }
      const at::Tensor chosen = index.to(stored.device());
      const RotaryTable& all = angles(static_cast<int64_t>(layer), length);
      const auto gather = [&](const at::Tensor& t) { return t.index_select(0, chosen).view({planes, used, -1}); };
      const auto plane_first = [&](const at::Tensor& t) {
        const at::Tensor kept = t.narrow(2, 0, used);
        return planes == 1 ? kept : kept.transpose(0, 1);
      };
      rotate_into(plane_first(stored), {gather(all.cos), gather(all.sin), all.layout}, plane_first(turned));
    }
    rows[layer].k = turned;
  }
  return rows;
}

void PackedKeys::store(const Bank& bank, const std::vector<at::Tensor>& unrotated_keys) {
  const auto rows = bank.rows_for(unrotated_keys[0].size(2));
  for (size_t layer = 0; layer < rows.size(); ++layer)
    rows[layer].k.narrow(2, rows[layer].used, unrotated_keys[layer].size(2)).copy_(unrotated_keys[layer]);
}

int64_t PackedKeys::bytes() const {
  int64_t bytes = 0;
  for (const at::Tensor& t : turned_)
    if (t.defined()) bytes += static_cast<int64_t>(t.nbytes());
  return bytes;
}

}  // namespace steno
