#include "memory/last_queries.h"

#include <ATen/ATen.h>

#include "model/attention.h"
#include "model/rope.h"

namespace steno {
namespace {

// bool [1, tables of the layer, count, S]
at::Tensor readable(const LastQueries& last, const ModelConfig& config, const Bank& bank, int64_t layer,
                    const Places* ranks) {
  const int64_t planes = bank.sharing() == Sharing::head ? config.kv_heads : 1,
                window = config.kinds[static_cast<size_t>(layer)].window;
  const int64_t columns = bank.size(layer), old = columns - last.fresh;
  const at::Tensor mask = at::empty({1, planes, last.count, columns}, at::kBool);
  bool* open = mask.mutable_data_ptr<bool>();
  for (int64_t plane = 0; plane < planes; ++plane) {
    const int64_t index = bank.table_of(layer, plane);
    for (int64_t query = last.first_place; query < last.first_place + last.count; ++query) {
      for (int64_t column = 0; column < columns; ++column) {
        const int64_t place = !ranks         ? bank.table(index)[column].position
                              : column < old ? (*ranks)[static_cast<size_t>(index)][static_cast<size_t>(column)]
                                             : column;
        *open++ = place <= query && (window == 0 || query - place < window);
      }
    }
  }
  return mask;
}

}  // namespace

std::vector<at::Tensor> received_from(const LastQueries& last, const Decoder& decoder, const Bank& bank,
                                      const std::vector<LayerRows>& rows, const Places* ranks, int64_t rope_length) {
  const ModelConfig& config = decoder.config();
  std::vector<at::Tensor> received;
  RotaryTable turn[2];  // global, local
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const auto l = static_cast<size_t>(layer);
    AttentionInput a;
    a.scale = config.attention_scale;
    a.q = last.queries[l];
    if (!last.rotated) {
      const bool local = config.kinds[l].local_rope;
      const at::Tensor places = at::arange(last.first_place, last.first_place + last.count, at::kLong).unsqueeze(0);
      if (!turn[local].cos.defined())
        turn[local] =
            rotary_table(local ? config.local_rope : config.rope, config.d_h, places.to(decoder.device()), rope_length);
      a.q = rotate(a.q, turn[local]);
    }
    a.q = a.q.to(rows[l].k.scalar_type());
    a.k = rows[l].k.narrow(2, 0, bank.size(layer));
    a.v = rows[l].v.narrow(2, 0, bank.size(layer));
    // In the order of the rows the newest tokens stand last only as far as they are fresh.
    if (last.count > last.fresh || config.kinds[l].window > 0)
      a.allowed = readable(last, config, bank, layer, ranks).to(decoder.device());
    AttentionReceived sums;
    attention_received(a, sums);
    received.push_back(std::move(sums.mass));
  }
  return received;
}

}  // namespace steno
