// Private to dequantize.cpp.
#pragma once
#include <cstdint>

#include "io/ggml_types.h"

namespace steno {

// False where the processor or the format has no such path; then nothing was written. NaN and infinite scales give NaN
// and infinities as everywhere, subnormal results (below 1.2e-38) become 0.
bool dequantize_to_bf16_avx512(GgmlType type, const uint8_t* src, uint16_t* dst, int64_t values);

}  // namespace steno
