// Products of ggml blocks with activations rounded to eight bits per block of 32, in integer arithmetic (AVX-512 VNNI).
// Rounding error per activation is at most 1/254 of the largest in its block, like bfloat16's 1/256 of each; used where
// the compute dtype is bf16. f32 runs keep exact activations (kernels.h).
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "io/ggml_types.h"

namespace steno::kernels {

// Built in, and this processor can.
bool has_int8();
bool multiplies_int8(GgmlType type);

struct Int8Rows {
  int64_t rows = 0, in = 0;
  std::vector<int8_t> values;  // [rows, in]
  std::vector<float> scales;   // [rows, in / 32]
  std::vector<float> sums;     // [rows, in / 32]: scale times the sum of the block's values
};
// x [rows, in], in % 32 == 0: value = round(x / scale), scale = max |x| / 127.
Int8Rows round_to_int8(const float* x, int64_t rows, int64_t in);
// One row of it, for callers that share the rows among threads: 0 <= row < to.rows; `to` has its sizes already.
void round_row_to_int8(const float* x, int64_t row, Int8Rows& to);

// y[r * y_stride + o - begin] = sum_i W[o, i] x[r, i] for o in [begin, end).
void multiply_int8(GgmlType type, const std::byte* w, int64_t begin, int64_t end, const Int8Rows& x, float* y,
                   int64_t y_stride);

}  // namespace steno::kernels
