// Sixteen floats at a time, for the kernels of this folder. Included by kernels_*.cpp and their tests alone: STENO_CLONES functions are
// compiled once per instruction set, and everything here is inlined into them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

// One source for all instruction sets: GCC's vector extensions say sixteen floats, the clones say how wide a register
// is, and the loader picks a clone by what the processor has.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define STENO_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define STENO_CLONES
#endif
#define STENO_INLINE inline __attribute__((always_inline))

namespace steno::kernels {

using V = float __attribute__((vector_size(64)));  // sixteen floats
using VI = int32_t __attribute__((vector_size(64)));
using VU = uint32_t __attribute__((vector_size(64)));
using B16 = uint8_t __attribute__((vector_size(16)));
using S16 = int8_t __attribute__((vector_size(16)));
using H16 = uint16_t __attribute__((vector_size(32)));

STENO_INLINE V load(const float* p) {
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
STENO_INLINE void store(float* p, V v) { std::memcpy(p, &v, sizeof v); }
STENO_INLINE V splat(float x) { return V{} + x; }

STENO_INLINE V load(const uint16_t* p) {
  H16 h;
  std::memcpy(&h, p, sizeof h);
  const VU bits = __builtin_convertvector(h, VU) << 16;
  V v;
  std::memcpy(&v, &bits, sizeof v);
  return v;
}
// Round to nearest even. NaN stays NaN: its rounding carry is masked out by the quiet bit.
STENO_INLINE void store(uint16_t* p, V v) {
  VU bits;
  std::memcpy(&bits, &v, sizeof bits);
  const VU rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  const VI is_nan = v != v;
  const VU result = is_nan ? ((bits >> 16) | 0x40u) : rounded;
  const H16 h = __builtin_convertvector(result, H16);
  std::memcpy(p, &h, sizeof h);
}
STENO_INLINE float load1(const float* p) { return *p; }
STENO_INLINE float load1(const uint16_t* p) {
  const uint32_t bits = uint32_t{*p} << 16;
  float f;
  std::memcpy(&f, &bits, sizeof f);
  return f;
}
STENO_INLINE void store1(float* p, float x) { *p = x; }
STENO_INLINE void store1(uint16_t* p, float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  *p = x != x ? static_cast<uint16_t>((bits >> 16) | 0x40u)
              : static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

STENO_INLINE float sum(V v) {
  float lanes[16];
  store(lanes, v);
  float four[4];
  for (int i = 0; i < 4; ++i) four[i] = (lanes[i] + lanes[i + 4]) + (lanes[i + 8] + lanes[i + 12]);
  return (four[0] + four[1]) + (four[2] + four[3]);
}

STENO_INLINE float half_to_float(const std::byte* p) {
  _Float16 h;
  std::memcpy(&h, p, sizeof h);
  return static_cast<float>(h);
}
// Sixteen running sums; `n` needs no padding.
STENO_INLINE float dot(const float* a, const float* b, int64_t n) {
  V acc{};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) acc += load(a + i) * load(b + i);
  float rest = 0;
  for (; i < n; ++i) rest += a[i] * b[i];
  return sum(acc) + rest;
}

// e^x for x <= 0: 2^n * p(r), degree-6 polynomial of 2^r on [-0.5, 0.5] (Taylor coefficients ln2^k / k!); relative
// error below 2e-7. Below -87 it is 0.
STENO_INLINE V exp_nonpositive(V x) {
  const VI tiny = x < splat(-87.0f);
  x = tiny ? splat(-87.0f) : x;
  const V scaled = x * 1.44269504088896341f;
  const V magic = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to the nearest integer
  const V n = (scaled + magic) - magic;
  // r = x - n ln 2 in two steps keeps the digits that n * ln 2 alone would lose.
  V r = x - n * 0.693145751953125f;
  r = r - n * 1.42860682030941723e-6f;
  V p = splat(1.0f / 720);
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const VI power = (__builtin_convertvector(n, VI) + 127) << 23;
  V two_n;
  std::memcpy(&two_n, &power, sizeof two_n);
  p = p * two_n;
  return tiny ? splat(0.0f) : p;
}

inline const float* f32(const void* p) { return static_cast<const float*>(p); }
inline const uint16_t* b16(const void* p) { return static_cast<const uint16_t*>(p); }
inline float* f32(void* p) { return static_cast<float*>(p); }
inline uint16_t* b16(void* p) { return static_cast<uint16_t*>(p); }

}  // namespace steno::kernels
