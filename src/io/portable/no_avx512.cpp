// Where the compiler does not build for AVX-512 with bfloat16.
#include "io/dequantize_avx512.h"

namespace steno {

bool dequantize_to_bf16_avx512(GgmlType, const uint8_t*, uint16_t*, int64_t) { return false; }

}  // namespace steno
