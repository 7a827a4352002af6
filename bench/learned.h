// What learned memories cost: training steps, compressing, opening a stored memory and answering from it. One JSON
// object each. Adapters are fresh: speed does not depend on what they learned.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>

#include "model/loader.h"

namespace steno {

struct LearnedSizes {
  int64_t slots = 128, ratio = 4, rank = 64;
  int64_t repeats = 5;
};

// Optimiser steps of ICAE's autoencoding over one span each: source tokens per second, the largest resident set, and
// how much of it lies above the loaded model.
nlohmann::json train_steps(const Model& model, const LearnedSizes& sizes, bool checkpoint);
// Compressing `tokens` tokens beside reading them by `dense`, in turns.
nlohmann::json compress_speed(const Model& model, const LearnedSizes& sizes, int64_t tokens);
// From a stored memory of `tokens` source tokens to the first token of an answer, beside reading the text itself; and
// the bytes that stay resident while answering.
nlohmann::json first_token(const Model& model, const LearnedSizes& sizes, int64_t tokens);
// Opening a memory of `tokens` source tokens with synthetic slots in bf16, all checksums included, and decoding every
// slot.
nlohmann::json reload(const Model& model, const LearnedSizes& sizes, int64_t tokens);

}  // namespace steno
