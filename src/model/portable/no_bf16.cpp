// For compilers without AVX-512 BF16: has_bf16_dot() is false and nobody calls the rest.
#include <cstdlib>

#include "model/kernels_bf16.h"

namespace steno::kernels {

bool has_bf16_dot() { return false; }

void attend_split_bf16(const uint16_t*, const uint16_t*, int64_t, int64_t, int64_t, const uint16_t*, const uint16_t*,
                       int64_t, const uint8_t*, int64_t, int64_t, float*, float*, float*, float*) {
  std::abort();
}

void pack_keys(const uint16_t*, int64_t, int64_t, int64_t, int64_t, uint16_t*) { std::abort(); }
void pack_values(const uint16_t*, int64_t, int64_t, int64_t, int64_t, uint16_t*) { std::abort(); }
void hide(const uint8_t*, int64_t, float*) { std::abort(); }
float soften_row(const float*, int64_t, float, float&, uint16_t*) { std::abort(); }
void scale_to_bf16(const float*, int64_t, float, uint16_t*) { std::abort(); }
void add_shares(const uint16_t*, int64_t, float, float*) { std::abort(); }
void raise_peaks(const uint16_t*, int64_t, float, float*) { std::abort(); }
void sum_to_bf16(const float*, int64_t, int64_t, int64_t, float, uint16_t*) { std::abort(); }
float dot_bf16(const uint16_t*, const uint16_t*, int64_t) { std::abort(); }
void pack_columns(const uint16_t*, int64_t, int64_t, int64_t, int64_t, uint16_t*, int64_t) { std::abort(); }
void soften_gradient(const float*, const float*, const float*, const float*, float, int64_t, uint16_t*, uint16_t*,
                     uint16_t*) {
  std::abort();
}
void columns_to_bf16(const float*, int64_t, int64_t, float, uint16_t*, int64_t) { std::abort(); }

}  // namespace steno::kernels
