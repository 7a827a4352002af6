// Gradients of activations, of the norm and of the softmax of a loss, row by row.
#include <cmath>

#include "model/kernels.h"
#include "model/vector.h"

namespace steno::kernels {
namespace {

template <class T>
STENO_INLINE void silu_backward_row(const T* gate, const T* up, const T* gradient, int64_t n, T* d_gate, T* d_up) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const V a = load(gate + i), u = load(up + i), g = load(gradient + i);
    const VI negative = a < splat(0.0f);
    const V e = exp_nonpositive(negative ? a : -a);
    const V sigmoid = (negative ? e : splat(1.0f)) / (1.0f + e);
    store(d_gate + i, g * u * (sigmoid * (1.0f + a * (1.0f - sigmoid))));
    store(d_up + i, g * a * sigmoid);
  }
  for (; i < n; ++i) {
    const float a = load1(gate + i), g = load1(gradient + i), sigmoid = 1.0f / (1.0f + std::exp(-a));
    store1(d_gate + i, g * load1(up + i) * (sigmoid * (1.0f + a * (1.0f - sigmoid))));
    store1(d_up + i, g * a * sigmoid);
  }
}

template <class T>
STENO_INLINE void norm_backward_row(const float* x, const float* w, double eps, const T* dy, const float* through,
                                    int64_t n, float* dx, uint16_t* rounded) {
  V squares{}, along{};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const V v = load(x + i);
    squares += v * v;
    along += v * (load(w + i) * load(dy + i));
  }
  float square = sum(squares), slope = sum(along);
  for (; i < n; ++i) {
    square += x[i] * x[i];
    slope += x[i] * (w[i] * load1(dy + i));
  }
  const double inverse = 1.0 / (static_cast<double>(square) / static_cast<double>(n) + eps);
  const auto scale = static_cast<float>(std::sqrt(inverse));
  const auto pull = static_cast<float>(static_cast<double>(slope) / static_cast<double>(n) * inverse);
  for (i = 0; i + 16 <= n; i += 16) {
    V d = (load(w + i) * load(dy + i) - load(x + i) * pull) * scale;
    if (through) d += load(through + i);
    store(dx + i, d);
    if (rounded) store(rounded + i, d);
  }
  for (; i < n; ++i) {
    float d = (w[i] * load1(dy + i) - x[i] * pull) * scale;
    if (through) d += through[i];
    dx[i] = d;
    if (rounded) store1(rounded + i, d);
  }
}

template <class T>
STENO_INLINE float largest_of(const T* x, int64_t n) {
  V top = splat(-INFINITY);
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const V v = load(x + i);
    top = v > top ? v : top;
  }
  float lanes[16];
  store(lanes, top);
  float largest = lanes[0];
  for (const float lane : lanes) largest = lane > largest ? lane : largest;
  for (; i < n; ++i) largest = load1(x + i) > largest ? load1(x + i) : largest;
  return largest;
}

// e^(x - largest) / sum, so that no rounding of the logarithm enters every probability.
template <class T>
STENO_INLINE float nll_row(const T* logits, int64_t target, int64_t n, T* gradient) {
  const float largest = largest_of(logits, n), chosen = load1(logits + target);
  double lanes[16] = {};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    float e[16];
    store(e, exp_nonpositive(load(logits + i) - largest));
    for (int j = 0; j < 16; ++j) lanes[j] += static_cast<double>(e[j]);
  }
  double total = 0;
  for (const double lane : lanes) total += lane;
  for (; i < n; ++i) total += std::exp(static_cast<double>(load1(logits + i)) - static_cast<double>(largest));
  const double loss = std::log(total) + static_cast<double>(largest) - static_cast<double>(chosen);
  if (!gradient) return static_cast<float>(loss);
  const auto share = static_cast<float>(1 / total);
  for (i = 0; i + 16 <= n; i += 16) store(gradient + i, exp_nonpositive(load(logits + i) - largest) * share);
  for (; i < n; ++i) store1(gradient + i, std::exp(load1(logits + i) - largest) * share);
  // p - 1 of the target itself would lose the digits of a small loss.
  store1(gradient + target, static_cast<float>(std::expm1(-loss)));
  return static_cast<float>(loss);
}

}  // namespace

STENO_CLONES void silu_multiply_backward(const void* gate, const void* up, const void* gradient, Num type, int64_t n,
                                         void* d_gate, void* d_up) {
  if (type == Num::f32)
    silu_backward_row(f32(gate), f32(up), f32(gradient), n, f32(d_gate), f32(d_up));
  else
    silu_backward_row(b16(gate), b16(up), b16(gradient), n, b16(d_gate), b16(d_up));
}

STENO_CLONES void rms_norm_backward(const float* x, const float* w, double eps, const void* dy, Num type,
                                    const float* through, int64_t rows, int64_t n, float* dx, uint16_t* rounded) {
  for (int64_t at = 0; at < rows * n; at += n) {
    const float* more = through ? through + at : nullptr;
    uint16_t* half = rounded ? rounded + at : nullptr;
    if (type == Num::f32)
      norm_backward_row(x + at, w, eps, f32(dy) + at, more, n, dx + at, half);
    else
      norm_backward_row(x + at, w, eps, b16(dy) + at, more, n, dx + at, half);
  }
}

STENO_CLONES void add(const float* x, const uint16_t* z, int64_t n, float* y) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store(y + i, load(x + i) + load(z + i));
  for (; i < n; ++i) y[i] = x[i] + load1(z + i);
}

STENO_CLONES float token_nll(const void* logits, Num type, int64_t target, int64_t n, void* gradient) {
  if (type == Num::f32) return nll_row(f32(logits), target, n, f32(gradient));
  return nll_row(b16(logits), target, n, b16(gradient));
}

}  // namespace steno::kernels
