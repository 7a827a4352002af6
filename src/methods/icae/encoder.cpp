#include "methods/icae/encoder.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace steno::icae {

at::Tensor embed_sequences(const Decoder& decoder, const Adapter& adapter,
                           std::span<const std::vector<int64_t>> sequences, const at::Tensor& slots) {
  const IdPlan plan = adapter.plan(decoder.config());
  size_t longest = 0;
  std::vector<int64_t> text;
  for (const auto& sequence : sequences) {
    longest = std::max(longest, sequence.size());
    std::copy_if(sequence.begin(), sequence.end(), std::back_inserter(text),
                 [&](int64_t id) { return !plan.is_memory(id) && !plan.is_task(id) && id != plan.pad(); });
  }
  // One table for everything that can stand somewhere: the text's own embeddings, the learned rows, zeros, the slots.
  const auto words = static_cast<int64_t>(text.size()), learned = words, zero = learned + plan.k + 3, first = zero + 1;
  const at::Device device = decoder.device();
  std::vector<at::Tensor> parts;
  if (words > 0) parts.push_back(decoder.embed(at::tensor(text, at::kLong).unsqueeze(0).to(device))[0]);
  parts.push_back(adapter.embeddings);
  parts.push_back(at::zeros({1, decoder.config().d_model}, adapter.embeddings.options().requires_grad(false)));
  if (slots.defined()) parts.push_back(slots);

  const auto batch = static_cast<int64_t>(sequences.size()), steps = static_cast<int64_t>(longest);
  const at::Tensor places = at::full({batch, steps}, zero, at::kLong);
  int64_t next_word = 0, next_slot = 0;
  for (int64_t b = 0; b < batch; ++b) {
    int64_t* place = places.mutable_data_ptr<int64_t>() + b * steps;
    for (const int64_t id : sequences[static_cast<size_t>(b)]) {
      if (plan.is_task(id) || (plan.is_memory(id) && !slots.defined()))
        *place++ = learned + plan.row(id);
      else if (plan.is_memory(id))
        *place++ = first + next_slot++;
      else if (id == plan.pad())
        *place++ = zero;
      else
        *place++ = next_word++;
    }
  }
  TORCH_CHECK(!slots.defined() || next_slot == slots.size(0), "a place for every slot");
  return at::cat(parts, 0).index_select(0, places.flatten().to(device)).view({batch, steps, -1});
}

at::Tensor positions_of(const Decoder& decoder, std::span<const std::vector<int64_t>> positions) {
  size_t longest = 0;
  for (const auto& row : positions) longest = std::max(longest, row.size());
  const at::Tensor all = at::zeros({static_cast<int64_t>(positions.size()), static_cast<int64_t>(longest)}, at::kLong);
  for (size_t b = 0; b < positions.size(); ++b)
    std::copy(positions[b].begin(), positions[b].end(), all.mutable_data_ptr<int64_t>() + b * longest);
  return all.to(decoder.device());
}

at::Tensor encode_spans(const Decoder& decoder, const Adapter& adapter, std::span<const std::vector<TokenId>> spans,
                        bool checkpoint) {
  const IdPlan plan = adapter.plan(decoder.config());
  const PositionLayout layout = adapter.settings.position_layout();
  std::vector<std::vector<int64_t>> sequences, positions;
  for (const auto& span : spans) {
    positions.push_back(encoder_positions(layout, plan.k, static_cast<int64_t>(span.size())));
    std::vector<int64_t>& sequence = sequences.emplace_back(span.begin(), span.end());
    for (int64_t j = 0; j < plan.k; ++j) sequence.push_back(plan.memory(j));
  }
  Input in;
  in.embeddings = embed_sequences(decoder, adapter, sequences);
  // Undefined, they are those of the standard layout.
  if (layout != PositionLayout::standard) in.positions = positions_of(decoder, positions);
  in.adapters = &adapter.lora;
  in.logits = LogitRows::none;
  in.checkpoint_blocks = checkpoint;
  const at::Tensor hidden = decoder.run(in).hidden;

  const int64_t steps = hidden.size(1);
  std::vector<int64_t> rows;
  for (size_t b = 0; b < spans.size(); ++b)
    for (int64_t j = 0; j < plan.k; ++j)
      rows.push_back(static_cast<int64_t>(b) * steps + static_cast<int64_t>(spans[b].size()) + j);
  at::Tensor slots = hidden.flatten(0, 1).index_select(0, at::tensor(rows, at::kLong).to(hidden.device()));
  if (const MemoryHead& head = adapter.head; head.defined())
    slots = at::linear(at::gelu(at::linear(slots, head.in_weight, head.in_bias)), head.out_weight, head.out_bias);
  return slots.view({static_cast<int64_t>(spans.size()), plan.k, -1});
}

}  // namespace steno::icae
