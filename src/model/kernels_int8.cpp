// Compiled for AVX-512 VNNI (CMakeLists.txt); called only where has_int8() says so.
#include "model/kernels_int8.h"

#include <immintrin.h>

#include <cstring>

namespace steno::kernels {
namespace {

// Distance of the software prefetch. Weights are read once per token, so every line comes from memory, and the hardware
// prefetcher alone leaves half of the time waiting; it may run past the end, which is harmless.
constexpr int64_t kAhead = 4096;
constexpr int64_t kGroup = 16;  // blocks whose scales fill a register

// Numbers of a group of blocks, one block per lane: what a unit of the product weighs, and what one unit of activation
// adds beside it.
struct Weighing {
  __m512 scale, offset;
};

// Sixteen bytes of nibbles, one block or two neighbours. The upper nibbles stay where they are, 16 times their number;
// share() takes that back.
struct Nibbles {
  static __m256i one(const std::byte* p) {
    return _mm256_and_si256(_mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
                            _mm512_castsi512_si256(mask()));
  }
  static __m512i two(const std::byte* p, int64_t distance) {
    const auto at = [](const std::byte* q) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(q)); };
    const __m512i first = _mm512_broadcast_i32x4(at(p));
    return _mm512_and_si512(_mm512_mask_broadcast_i32x4(first, 0xFF00, at(p + distance)), mask());
  }
  static __m512 share() {
    constexpr float sixteenth = 1.0f / 16;
    return _mm512_setr_ps(1, 1, 1, 1, sixteenth, sixteenth, sixteenth, sixteenth, 1, 1, 1, 1, sixteenth, sixteenth,
                          sixteenth, sixteenth);
  }
  static __m512i mask() {
    constexpr int low = 0x0F0F0F0F;
    return _mm512_setr_epi32(low, low, low, low, ~low, ~low, ~low, ~low, low, low, low, low, ~low, ~low, ~low, ~low);
  }
};

// A block's numbers as unsigned bytes, one block in 256 bits or two neighbours in 512, and its header.
template <GgmlType>
struct Block;

template <>
struct Block<GgmlType::Q4_1> {
  static constexpr int64_t bytes = 20;  // five words of four bytes: f16 scale and offset, then the nibbles
  static __m256i one(const std::byte* p) { return Nibbles::one(p + 4); }
  static __m512i two(const std::byte* p) { return Nibbles::two(p + 4, bytes); }
  static __m512 share() { return Nibbles::share(); }
  // The first words of up to 16 blocks.
  static __m512i headers(const std::byte* p, int64_t count) {
    if (count <= 3)
      return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 5, 10, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15),
                                      _mm512_maskz_loadu_epi32(static_cast<__mmask16>((1 << 5 * count) - 1), p));
    const __m512i every_fifth = _mm512_setr_epi32(0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75);
    if (count < kGroup)
      return _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), static_cast<__mmask16>((1 << count) - 1), every_fifth,
                                         p, 4);
    const auto words = [&](int64_t i) { return _mm512_loadu_si512(p + i * 64); };
    // Lanes 0-6 stand in the first two registers, 7-12 in the next two, the rest in the fifth; a permute takes an index
    // modulo the words that it reads.
    const __m512i low = _mm512_permutex2var_epi32(words(0), every_fifth, words(1));
    const __m512i middle = _mm512_permutex2var_epi32(words(2), every_fifth, words(3));
    const __m512i most = _mm512_mask_blend_epi32(0x1F80, low, middle);
    return _mm512_mask_permutexvar_epi32(most, 0xE000, every_fifth, words(4));
  }
  static Weighing weighing(const std::byte* p, int64_t count) {
    const __m512i words = headers(p, count);
    const __m512 low = _mm512_cvtph_ps(_mm512_castsi512_si256(words));
    const __m512 high = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(words, 1));
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return {_mm512_permutex2var_ps(low, even, high),
            _mm512_permutex2var_ps(low, _mm512_add_epi32(even, _mm512_set1_epi32(1)), high)};
  }
};
template <>
struct Block<GgmlType::Q4_0> {
  static constexpr int64_t bytes = 18;
  static constexpr float zero = 8;  // the number that stands for 0
  static __m256i one(const std::byte* p) { return Nibbles::one(p + 2); }
  static __m512i two(const std::byte* p) { return Nibbles::two(p + 2, bytes); }
  static __m512 share() { return Nibbles::share(); }
};
template <>
struct Block<GgmlType::Q8_0> {
  static constexpr int64_t bytes = 34;
  static constexpr float zero = 128;  // signed bytes become unsigned
  static __m256i one(const std::byte* p) {
    return _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 2)),
                            _mm256_set1_epi8(static_cast<char>(0x80)));
  }
  static __m512i two(const std::byte* p) {
    const auto at = [](const std::byte* q) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(q)); };
    return _mm512_xor_si512(_mm512_inserti64x4(_mm512_castsi256_si512(at(p + 2)), at(p + 2 + bytes), 1),
                            _mm512_set1_epi8(static_cast<char>(0x80)));
  }
  static __m512 share() { return _mm512_set1_ps(1); }
};

// Scales and offsets of the blocks from `begin` to `end`, in order, a group or the rest of a row of `blocks` at a time.
template <GgmlType type>
class Weighings {
 public:
  // Scales are collected by two bytes, a run of blocks ahead of the products: read back at once they would wait for the
  // stores, and collecting ahead fetches the next row from memory early.
  Weighings(const std::byte* begin, const std::byte* end, int64_t blocks) : next_(begin), end_(end), blocks_(blocks) {
    collect(0);
  }
  // Of the group that starts with block `first` of the row.
  Weighing of(const std::byte*, int64_t first, int64_t) {
    if (first % kRun == 0) {
      current_ = 1 - current_;
      collect(first + kRun < blocks_ ? first + kRun : 0);
    }
    const __m512 scale =
        _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(scales_[current_] + first % kRun)));
    return {scale, _mm512_mul_ps(scale, _mm512_set1_ps(-Block<type>::zero))};
  }

 private:
  static constexpr int64_t kRun = 4 * kGroup;
  // The run that starts with block `first` of a row.
  void collect(int64_t first) {
    if (next_ >= end_) return;
    const int64_t left = blocks_ - first, count = left < kRun ? left : kRun;
    for (int64_t b = 0; b < count; ++b) std::memcpy(&scales_[1 - current_][b], next_ + b * Block<type>::bytes, 2);
    next_ += count * Block<type>::bytes;
  }
  alignas(64) uint16_t scales_[2][kRun] = {};
  int current_ = 0;
  const std::byte* next_;
  const std::byte* end_;
  int64_t blocks_;
};
template <>
class Weighings<GgmlType::Q4_1> {
 public:
  Weighings(const std::byte*, const std::byte*, int64_t) {}
  Weighing of(const std::byte* p, int64_t, int64_t count) { return Block<GgmlType::Q4_1>::weighing(p, count); }
};

// Blocks go two at a time, the even one in the lower half of the registers and the odd one in the upper: one chain of
// additions would wait for itself.
template <GgmlType type, int kRows>
struct Tile {
  using Format = Block<type>;
  const int8_t* values;  // of the group's first block, in the first row
  int64_t in;
  __m512 product[kRows];  // of the scales of weights and activations
  __m512 acc[kRows];

  // Blocks b and b + 1 of the group.
  [[gnu::always_inline]] void add_two(const std::byte* p, int b) {
    // Lanes of the pair: eight of the first, eight of the second.
    const __m512i lanes =
        _mm512_add_epi32(_mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1), _mm512_set1_epi32(b));
    const __m512i q = Format::two(p + b * Format::bytes);
    for (int r = 0; r < kRows; ++r) {
      const __m512i dots = _mm512_dpbusd_epi32(_mm512_setzero_si512(), q, _mm512_loadu_si512(values + r * in + b * 32));
      acc[r] = _mm512_fmadd_ps(_mm512_permutexvar_ps(lanes, product[r]), _mm512_cvtepi32_ps(dots), acc[r]);
    }
  }
  [[gnu::always_inline]] void add_one(const std::byte* p, int b) {
    const __m256i q = Format::one(p + b * Format::bytes);
    for (int r = 0; r < kRows; ++r) {
      const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values + r * in + b * 32));
      const __m256 scale = _mm512_castps512_ps256(_mm512_permutexvar_ps(_mm512_set1_epi32(b), product[r]));
      const __m256i dots = _mm256_dpbusd_epi32(_mm256_setzero_si256(), q, a);
      const __m256 even = _mm256_fmadd_ps(scale, _mm256_cvtepi32_ps(dots), _mm512_castps512_ps256(acc[r]));
      acc[r] = _mm512_insertf32x8(acc[r], even, 0);
    }
  }
};

template <GgmlType type, int kRows>
void multiply_tile(const std::byte* w, int64_t begin, int64_t end, const Int8Rows& x, int64_t row, float* y,
                   int64_t y_stride) {
  constexpr int64_t bytes = Block<type>::bytes;
  const int64_t in = x.in, blocks = in / 32;
  const float* x_scales = x.scales.data() + row * blocks;
  const float* x_sums = x.sums.data() + row * blocks;
  const std::byte* p = w + begin * blocks * bytes;
  Weighings<type> weighings(p, w + end * blocks * bytes, blocks);
  Tile<type, kRows> tile{.in = in};
  for (int64_t o = begin; o < end; ++o) {
    __m512 shift[kRows];
    for (int r = 0; r < kRows; ++r) tile.acc[r] = shift[r] = _mm512_setzero_ps();
    for (int64_t first = 0; first < blocks; first += kGroup) {
      const int64_t count = blocks - first < kGroup ? blocks - first : kGroup;
      for (int64_t i = 0; i < count * bytes; i += 64)
        _mm_prefetch(reinterpret_cast<const char*>(p) + i + kAhead, _MM_HINT_T0);
      const auto mask = static_cast<__mmask16>((1 << count) - 1);
      const Weighing weighing = weighings.of(p, first, count);
      for (int r = 0; r < kRows; ++r) {
        const int64_t at = r * blocks + first;
        tile.product[r] = _mm512_mul_ps(weighing.scale, _mm512_maskz_loadu_ps(mask, x_scales + at));
        shift[r] = _mm512_mask3_fmadd_ps(weighing.offset, _mm512_maskz_loadu_ps(mask, x_sums + at), shift[r], mask);
      }
      tile.values = x.values.data() + row * in + first * 32;
      if (count == kGroup) {
#pragma GCC unroll 8
        for (int b = 0; b < kGroup; b += 2) tile.add_two(p, b);
      } else {
        int b = 0;
        for (; b + 2 <= count; b += 2) tile.add_two(p, b);
        if (b < count) tile.add_one(p, b);
      }
      p += count * bytes;
    }
    for (int r = 0; r < kRows; ++r)
      y[r * y_stride + o - begin] = _mm512_reduce_add_ps(_mm512_fmadd_ps(tile.acc[r], Block<type>::share(), shift[r]));
  }
}

template <GgmlType type>
void multiply(const std::byte* w, int64_t begin, int64_t end, const Int8Rows& x, float* y, int64_t y_stride) {
  int64_t r = 0;
  for (; r + 8 <= x.rows; r += 8) multiply_tile<type, 8>(w, begin, end, x, r, y + r * y_stride, y_stride);
  for (; r + 4 <= x.rows; r += 4) multiply_tile<type, 4>(w, begin, end, x, r, y + r * y_stride, y_stride);
  for (; r < x.rows; ++r) multiply_tile<type, 1>(w, begin, end, x, r, y + r * y_stride, y_stride);
}

}  // namespace

bool has_int8() {
  static const bool has = __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vl") &&
                          __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
  return has;
}

bool multiplies_int8(GgmlType type) {
  return type == GgmlType::Q4_0 || type == GgmlType::Q4_1 || type == GgmlType::Q8_0;
}

Int8Rows round_to_int8(const float* x, int64_t rows, int64_t in) {
  Int8Rows result;
  result.rows = rows, result.in = in;
  result.values.resize(static_cast<size_t>(rows * in));
  result.scales.resize(static_cast<size_t>(rows * in / 32));
  result.sums.resize(static_cast<size_t>(rows * in / 32));
  for (int64_t row = 0; row < rows; ++row) round_row_to_int8(x + row * in, row, result);
  return result;
}

void round_row_to_int8(const float* x, int64_t row, Int8Rows& to) {
  const int64_t blocks = to.in / 32;
  int8_t* values = to.values.data() + row * to.in;
  float* scales = to.scales.data() + row * blocks;
  float* sums = to.sums.data() + row * blocks;
  for (int64_t b = 0; b < blocks; ++b) {
    const __m512 lo = _mm512_loadu_ps(x + b * 32), hi = _mm512_loadu_ps(x + b * 32 + 16);
    const float largest = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(lo), _mm512_abs_ps(hi)));
    const float scale = largest / 127;
    const __m512 inverse = _mm512_set1_ps(scale > 0 ? 1 / scale : 0);
    const __m512i q_lo = _mm512_cvtps_epi32(_mm512_mul_ps(lo, inverse)),
                  q_hi = _mm512_cvtps_epi32(_mm512_mul_ps(hi, inverse));
    auto* out = reinterpret_cast<__m128i*>(values + b * 32);
    _mm_storeu_si128(out, _mm512_cvtsepi32_epi8(q_lo));
    _mm_storeu_si128(out + 1, _mm512_cvtsepi32_epi8(q_hi));
    scales[b] = scale;
    sums[b] = scale * static_cast<float>(_mm512_reduce_add_epi32(_mm512_add_epi32(q_lo, q_hi)));
  }
}

void multiply_int8(GgmlType type, const std::byte* w, int64_t begin, int64_t end, const Int8Rows& x, float* y,
                   int64_t y_stride) {
  switch (type) {
    case GgmlType::Q4_0:
      return multiply<GgmlType::Q4_0>(w, begin, end, x, y, y_stride);
    case GgmlType::Q4_1:
      return multiply<GgmlType::Q4_1>(w, begin, end, x, y, y_stride);
    case GgmlType::Q8_0:
      return multiply<GgmlType::Q8_0>(w, begin, end, x, y, y_stride);
    default:
      __builtin_unreachable();
  }
}

}  // namespace steno::kernels
