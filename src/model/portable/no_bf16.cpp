// For compilers without AVX-512 BF16: has_bf16_dot() is false and nobody calls the rest.
#include "model/kernels_bf16.h"

#include <cstdlib>

namespace steno::kernels {

bool has_bf16_dot() { return false; }

void attend_split_bf16(const uint16_t*, const uint16_t*, int64_t, int64_t, int64_t, const uint16_t*, const uint16_t*,
                       int64_t, const uint8_t*, int64_t, int64_t, float*, float*, float*, float*) {
  std::abort();
}

}  // namespace steno::kernels
