#include "io/ggml_types.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>

#include "base/random.h"

namespace steno {
namespace {

constexpr GgmlType kReadable[] = {GgmlType::F32,  GgmlType::F16,  GgmlType::BF16, GgmlType::Q4_0, GgmlType::Q4_1,
                                  GgmlType::Q5_0, GgmlType::Q5_1, GgmlType::Q8_0, GgmlType::Q2_K, GgmlType::Q3_K,
                                  GgmlType::Q4_K, GgmlType::Q5_K, GgmlType::Q6_K};

std::string read_data(const std::string& name) {
  std::ifstream file(STENO_SOURCE_DIR "/tests/data/ggml_blocks/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class EveryType : public testing::TestWithParam<GgmlType> {
 protected:
  GgmlTraits traits_ = ggml_traits(GetParam());
  std::string blocks_ = read_data(std::string(traits_.name) + ".blocks");
  std::string expected_ = read_data(std::string(traits_.name) + ".f32");
  int64_t values_ = static_cast<int64_t>(expected_.size() / sizeof(float));

  const std::byte* src(int64_t block = 0) const {
    return reinterpret_cast<const std::byte*>(blocks_.data()) + block * traits_.block_bytes;
  }
  float expected(int64_t i) const {
    float value;
    std::memcpy(&value, expected_.data() + i * sizeof value, sizeof value);
    return value;
  }
};

TEST_P(EveryType, EqualsThePythonPackageBitForBit) {
  ASSERT_GE(values_, 1024);
  ASSERT_EQ(ggml_bytes(GetParam(), values_), static_cast<int64_t>(blocks_.size()));
  std::vector<float> values(values_);
  dequantize_to_f32(GetParam(), src(), values.data(), values_);
  for (int64_t i = 0; i < values_; ++i)
    ASSERT_EQ(std::bit_cast<uint32_t>(values[i]), std::bit_cast<uint32_t>(expected(i))) << "value " << i;
}

TEST_P(EveryType, AnyRunOfBlocksAtAnyAddressGivesTheSameValues) {
  Random random(7);
  const int64_t blocks = values_ / traits_.block_values;
  for (int round = 0; round < 50; ++round) {
    const int64_t first = random.below(blocks), count = 1 + random.below(blocks - first);
    const size_t shift = random.below(8);
    std::vector<std::byte> moved(shift + count * traits_.block_bytes);
    std::memcpy(moved.data() + shift, src(first), count * traits_.block_bytes);
    std::vector<float> values(count * traits_.block_values);
    dequantize_to_f32(GetParam(), moved.data() + shift, values.data(), values.size());
    ASSERT_EQ(0, std::memcmp(values.data(), expected_.data() + first * traits_.block_values * sizeof(float),
                             values.size() * sizeof(float)));
  }
}

// Nearest value, ties to the even mantissa: decided here in double precision, from the two neighbours.
uint16_t nearest_bf16(float value) {
  const auto widen = [](uint32_t high) { return static_cast<double>(std::bit_cast<float>(high << 16)); };
  const uint32_t down = std::bit_cast<uint32_t>(value) >> 16;  // towards zero
  const uint32_t up = down + 1;
  const double to_down = std::abs(value - widen(down));
  // Past the largest finite value the next step would be 2^128.
  const double up_value = (up & 0x7F80) == 0x7F80 ? std::copysign(0x1p128, value) : widen(up);
  const double to_up = std::abs(up_value - value);
  if (to_down != to_up) return static_cast<uint16_t>(to_down < to_up ? down : up);
  return static_cast<uint16_t>(down % 2 == 0 ? down : up);
}

TEST_P(EveryType, Bf16IsTheNearestEvenOfTheExactValue) {
  std::vector<uint16_t> rounded(values_);
  dequantize_to_bf16(GetParam(), src(), rounded.data(), values_);
  for (int64_t i = 0; i < values_; ++i) ASSERT_EQ(rounded[i], nearest_bf16(expected(i))) << expected(i);
}

TEST_P(EveryType, FindsTheBlockWhoseScaleIsNotFinite) {
  EXPECT_EQ(find_bad_block(GetParam(), src(), values_), -1);
  // Any block that yields a value which is not finite is found, and no other.
  Random random(11);
  std::vector<float> values(traits_.block_values);
  int bad = 0;
  for (int round = 0; round < 20000; ++round) {
    std::vector<uint8_t> block(traits_.block_bytes);
    for (auto& byte : block) byte = random.below(4) == 0 ? 0xFF : random.next();
    const auto* bytes = reinterpret_cast<const std::byte*>(block.data());
    dequantize_to_f32(GetParam(), bytes, values.data(), traits_.block_values);
    const bool finite = std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
    ASSERT_EQ(find_bad_block(GetParam(), bytes, traits_.block_values), finite ? -1 : 0);
    bad += !finite;
    // Rounded to bf16, a NaN is still a NaN and an infinity still an infinity.
    std::vector<uint16_t> rounded(traits_.block_values);
    dequantize_to_bf16(GetParam(), bytes, rounded.data(), traits_.block_values);
    for (size_t i = 0; i < values.size() && !finite; ++i) {
      const float narrow = std::bit_cast<float>(uint32_t{rounded[i]} << 16);
      ASSERT_EQ(std::isnan(values[i]), std::isnan(narrow)) << values[i] << " " << narrow;
      if (std::isinf(values[i])) {
        ASSERT_EQ(values[i], narrow);
      }
    }
  }
  EXPECT_GT(bad, 50);
}

INSTANTIATE_TEST_SUITE_P(Ggml, EveryType, testing::ValuesIn(kReadable),
                         [](const auto& info) { return std::string(ggml_traits(info.param).name); });

TEST(GgmlTypes, EveryHalfIsConvertedExactly) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const uint16_t half = static_cast<uint16_t>(bits);
    float value;
    dequantize_to_f32(GgmlType::F16, reinterpret_cast<const std::byte*>(&half), &value, 1);
    const int exponent = half >> 10 & 31, mantissa = half & 1023;
    const double sign = half & 0x8000 ? -1 : 1;
    if (exponent == 31 && mantissa != 0) {
      ASSERT_TRUE(std::isnan(value));
      continue;
    }
    const double exact = exponent == 31  ? INFINITY
                         : exponent == 0 ? std::ldexp(mantissa, -24)
                                         : std::ldexp(1024 + mantissa, exponent - 25);
    ASSERT_EQ(value, sign * exact) << bits;
    ASSERT_EQ(std::signbit(value), half >= 0x8000) << bits;
  }
}

TEST(GgmlTypes, Bf16KeepsNanAndInfinity) {
  for (uint32_t bits : {0x7F800001u, 0x7FFFFFFFu, 0xFFFFFFFFu, 0x7FC00000u, 0x7F800000u, 0xFF800000u}) {
    uint16_t rounded;
    dequantize_to_bf16(GgmlType::F32, reinterpret_cast<const std::byte*>(&bits), &rounded, 1);
    const float before = std::bit_cast<float>(bits), after = std::bit_cast<float>(uint32_t{rounded} << 16);
    if (std::isnan(before))
      EXPECT_TRUE(std::isnan(after)) << bits;
    else
      EXPECT_EQ(before, after);
  }
}

TEST(GgmlTypes, NamesKnownAndUnknownNumbers) {
  EXPECT_EQ(ggml_type_name(12), "Q4_K");
  EXPECT_EQ(ggml_type_name(20), "IQ4_NL");
  EXPECT_EQ(ggml_type_name(12345), "type 12345");
  EXPECT_EQ(ggml_traits(static_cast<GgmlType>(20)).name, nullptr);
  EXPECT_EQ(ggml_traits(static_cast<GgmlType>(20)).block_bytes, 18);
  EXPECT_EQ(ggml_traits(static_cast<GgmlType>(12345)).block_values, 0);
}

}  // namespace
}  // namespace steno
