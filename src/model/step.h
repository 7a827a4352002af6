// One token of each of several sequences through the whole model: the decoding step. A call of Decoder::run with one
// token spends a third of its time on dispatch, small allocations and 150 parallel regions; here there is one region,
// the threads meet at barriers, and the weights are read once for all sequences.
#pragma once
#include <span>
#include <vector>

#include "model/decoder.h"

namespace steno {

// True when the call is of the plain kind that step() serves: one token of one sequence by id, on the CPU, nothing to
// record, rows in place, no mask, no adapters, no captures but `mass`, no sliding layers, SiLU, weights that the
// few-row kernels read, at most a front of packed positions.
bool fits_step(const Decoder& decoder, const Input& input);

// Every input must fit. Results are those of Decoder::run up to rounding, and the same bits whatever else is in the
// batch. Throws InputError for ids outside the vocabulary before anything is written.
std::vector<Output> step(const Decoder& decoder, std::span<const Input* const> inputs);

}  // namespace steno
