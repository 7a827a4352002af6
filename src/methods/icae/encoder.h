// The two passes of ICAE over one copy of the model (icae, section 3): spans to slots with the adapter on, and slots
// among embeddings for the decoder with the adapter off.
#pragma once
#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "methods/icae/adapter.h"
#include "model/decoder.h"

namespace steno::icae {

// Sequences in the id plan, of any lengths -> [B, T, d] f32, T the longest. Text takes the model's embedding, memory
// and task tokens their row of the learned table, PAD zeros. With `slots` [n, d] every memory id is the place of a slot
// instead, in order. Differentiable in the table and in the slots.
at::Tensor embed_sequences(const Decoder& decoder, const Adapter& adapter,
                           std::span<const std::vector<int64_t>> sequences, const at::Tensor& slots = {});

// Positions of sequences of any lengths -> [B, T] int64 on the decoder's device, T the longest. What pads a sequence is
// hidden by causality from everything that counts; it stands at 0.
at::Tensor positions_of(const Decoder& decoder, std::span<const std::vector<int64_t>> positions);

// Slots of spans of any lengths as one batch, [B, k, d] f32. Every span starts at position 0 and is read before its
// memory tokens, which stand where Settings::positions says; what pads it comes behind them. Records
// gradients when GradMode is on. Throws InputError for ids outside the vocabulary.
at::Tensor encode_spans(const Decoder& decoder, const Adapter& adapter, std::span<const std::vector<TokenId>> spans,
                        bool checkpoint = false);

}  // namespace steno::icae
