// Where the compiler or the processor family has no AVX-512: has_int8() is false, and nobody calls the rest.
#include <stdexcept>

#include "model/kernels_int8.h"

namespace steno::kernels {

bool has_int8() { return false; }
bool multiplies_int8(GgmlType) { return false; }
Int8Rows round_to_int8(const float*, int64_t, int64_t) { throw std::logic_error("kernels_int8 is not in this build"); }
void round_row_to_int8(const float*, int64_t, Int8Rows&) {
  throw std::logic_error("kernels_int8 is not in this build");
}
void multiply_int8(GgmlType, const std::byte*, int64_t, int64_t, const Int8Rows&, float*, int64_t) {
  throw std::logic_error("kernels_int8 is not in this build");
}

}  // namespace steno::kernels
