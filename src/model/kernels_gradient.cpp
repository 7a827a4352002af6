// Gradients of norms, activations and the softmax of a loss, row by row.
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

// Sixteen running sums of the logits' exponentials, and their largest.
template <class T>
STENO_INLINE float log_sum_exp(const T* x, int64_t n) {
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
  for (int64_t j = i; j < n; ++j) largest = load1(x + j) > largest ? load1(x + j) : largest;
  V sums{};
  for (i = 0; i + 16 <= n; i += 16) sums += exp_nonpositive(load(x + i) - largest);
  double total = static_cast<double>(sum(sums));
  for (; i < n; ++i) total += std::exp(static_cast<double>(load1(x + i) - largest));
  return largest + static_cast<float>(std::log(total));
}

template <class T>
STENO_INLINE float nll_row(const T* logits, int64_t target, int64_t n, T* gradient) {
  const float normaliser = log_sum_exp(logits, n), loss = normaliser - load1(logits + target);
  if (!gradient) return loss;
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store(gradient + i, exp_nonpositive(load(logits + i) - normaliser));
  for (; i < n; ++i) store1(gradient + i, std::exp(load1(logits + i) - normaliser));
  store1(gradient + target, load1(gradient + target) - 1.0f);
  return loss;
}

}  // namespace

STENO_CLONES void rms_norm_backward(const float* x, const float* w, double eps, const float* gradient, int64_t rows,
                                    int64_t n, float* d_x) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* row = x + r * n;
    const float* g = gradient + r * n;
    V squares{}, along{};
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
      const V v = load(row + i);
      squares += v * v;
      along += load(g + i) * load(w + i) * v;
    }
    float total = sum(squares), product = sum(along);
    for (; i < n; ++i) total += row[i] * row[i], product += g[i] * w[i] * row[i];
    const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(total) / static_cast<double>(n) + eps));
    const float back = product * scale * scale / static_cast<float>(n);
    float* out = d_x + r * n;
    for (i = 0; i + 16 <= n; i += 16) store(out + i, (load(g + i) * load(w + i) - load(row + i) * back) * scale);
    for (; i < n; ++i) out[i] = (g[i] * w[i] - row[i] * back) * scale;
  }
}

STENO_CLONES void silu_multiply_backward(const void* gate, const void* up, const void* gradient, Num type, int64_t n,
                                         void* d_gate, void* d_up) {
  if (type == Num::f32)
    silu_backward_row(f32(gate), f32(up), f32(gradient), n, f32(d_gate), f32(d_up));
  else
    silu_backward_row(b16(gate), b16(up), b16(gradient), n, b16(d_gate), b16(d_up));
}

STENO_CLONES float token_nll(const void* logits, Num type, int64_t target, int64_t n, void* gradient) {
  if (type == Num::f32) return nll_row(f32(logits), target, n, f32(gradient));
  return nll_row(b16(logits), target, n, b16(gradient));
}

}  // namespace steno::kernels
