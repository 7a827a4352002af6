// Norms, activations and rotations, row by row.
#include <cmath>

#include "model/kernels.h"
#include "model/vector.h"

namespace steno::kernels {
namespace {

template <class Y>
STENO_INLINE void norm_row(const float* x, const float* w, double eps, int64_t n, Y* y) {
  V squares{};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const V v = load(x + i);
    squares += v * v;
  }
  float total = sum(squares);
  for (; i < n; ++i) total += x[i] * x[i];
  const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(total) / static_cast<double>(n) + eps));
  for (i = 0; i + 16 <= n; i += 16) store(y + i, load(x + i) * scale * load(w + i));
  for (; i < n; ++i) store1(y + i, x[i] * scale * w[i]);
}

template <class X, class Y>
STENO_INLINE void silu_rows(const X* gate, const X* up, int64_t stride, int64_t rows, int64_t n, Y* y) {
  for (int64_t r = 0; r < rows; ++r) {
    const X* g = gate + r * stride;
    const X* u = up + r * stride;
    Y* out = y + r * n;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
      const V a = load(g + i);
      // 1 / (1 + e^-a) from e^-|a|, so that nothing overflows.
      const VI negative = a < splat(0.0f);
      const V e = exp_nonpositive(negative ? a : -a);
      const V sigmoid = (negative ? e : splat(1.0f)) / (1.0f + e);
      store(out + i, a * sigmoid * load(u + i));
    }
    for (; i < n; ++i) {
      const float a = load1(g + i);
      store1(out + i, a / (1.0f + std::exp(-a)) * load1(u + i));
    }
  }
}

template <class X, class Y>
STENO_INLINE void rotate(const X* x, const float* cos, const float* sin, int64_t half, bool interleaved, Y* y) {
  if (interleaved) {
    for (int64_t i = 0; i < half; ++i) {
      const float a = load1(x + 2 * i), b = load1(x + 2 * i + 1);
      store1(y + 2 * i, a * cos[i] - b * sin[i]);
      store1(y + 2 * i + 1, b * cos[i] + a * sin[i]);
    }
    return;
  }
  for (int64_t i = 0; i < half; ++i) {
    const float a = load1(x + i), b = load1(x + half + i);
    store1(y + i, a * cos[i] - b * sin[i]);
    store1(y + half + i, b * cos[i] + a * sin[i]);
  }
}

}  // namespace

STENO_CLONES void rms_norm(const float* x, const float* w, double eps, int64_t rows, int64_t n, void* y, Num y_type) {
  for (int64_t r = 0; r < rows; ++r) {
    if (y_type == Num::f32)
      norm_row(x + r * n, w, eps, n, static_cast<float*>(y) + r * n);
    else
      norm_row(x + r * n, w, eps, n, static_cast<uint16_t*>(y) + r * n);
  }
}

STENO_CLONES void silu_multiply(const void* gate, const void* up, Num type, int64_t stride, int64_t rows, int64_t n,
                                void* y, Num y_type) {
  if (type == Num::f32 && y_type == Num::f32)
    silu_rows(f32(gate), f32(up), stride, rows, n, f32(y));
  else if (type == Num::f32)
    silu_rows(f32(gate), f32(up), stride, rows, n, b16(y));
  else if (y_type == Num::f32)
    silu_rows(b16(gate), b16(up), stride, rows, n, f32(y));
  else
    silu_rows(b16(gate), b16(up), stride, rows, n, b16(y));
}

STENO_CLONES void rotate_row(const void* x, Num x_type, const float* cos, const float* sin, int64_t half,
                             bool interleaved, void* y, Num y_type) {
  if (x_type == Num::f32 && y_type == Num::f32)
    rotate(f32(x), cos, sin, half, interleaved, f32(y));
  else if (x_type == Num::f32)
    rotate(f32(x), cos, sin, half, interleaved, b16(y));
  else if (y_type == Num::f32)
    rotate(b16(x), cos, sin, half, interleaved, f32(y));
  else
    rotate(b16(x), cos, sin, half, interleaved, b16(y));
}

STENO_CLONES void to_bf16(const float* x, int64_t n, uint16_t* y) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store(y + i, load(x + i));
  for (; i < n; ++i) store1(y + i, x[i]);
}

}  // namespace steno::kernels
