#include "memory/slot_codec.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "model/model_test_util.h"

namespace steno {
namespace {

// Rows of very different sizes; an odd number of columns.
at::Tensor rows_of_many_sizes() {
  at::Tensor slots = test::random_tensor({6, 37}, 1);
  for (int64_t row = 0; row < 6; ++row) slots[row] *= std::pow(10.0, static_cast<double>(row) - 3);
  slots[4].zero_();
  return slots;
}

TEST(SlotCodec, FullPrecisionComesBackBitForBit) {
  const at::Tensor slots = rows_of_many_sizes();
  EXPECT_TRUE(round_slots(slots, SlotType::f32).equal(slots));
}

TEST(SlotCodec, Bf16IsTheNearest) {
  const at::Tensor slots = rows_of_many_sizes();
  const at::Tensor back = round_slots(slots, SlotType::bf16);
  EXPECT_TRUE(back.equal(slots.to(at::kBFloat16).to(at::kFloat)));
  EXPECT_LE(((back - slots).abs() - slots.abs() / 256).max().item<float>(), 0);
}

TEST(SlotCodec, RoundedRowsStayWithinHalfAScale) {
  const at::Tensor slots = rows_of_many_sizes();
  for (const auto& [type, levels] : {std::pair(SlotType::int8, 127.0), {SlotType::int4, 7.0}}) {
    const at::Tensor back = round_slots(slots, type);
    const at::Tensor largest = slots.abs().amax(-1, true);
    // Rounding of f32 in the quotient and the product comes on top of half a scale.
    const at::Tensor bound = largest / levels * 0.5 + largest * 1e-6;
    EXPECT_LE(((back - slots).abs() - bound).max().item<float>(), 0) << slot_type_name(type);
    EXPECT_GT((back - slots).abs().max().item<float>(), 0) << slot_type_name(type);
    // What was rounded once does not move again: quantised memories can be merged and copied.
    EXPECT_LE(test::difference(round_slots(back, type), back), 1e-6) << slot_type_name(type);
    EXPECT_LE(((back.abs().amax(-1, true) - largest).abs() - largest * 1e-6).max().item<float>(), 0);
  }
}

TEST(SlotCodec, HalvesArePackedLowFirst) {
  const at::Tensor slots = at::tensor({7.f, -7.f, 1.f}).unsqueeze(0);
  const EncodedSlots encoded = encode_slots(slots, SlotType::int4);
  ASSERT_EQ(encoded.values.sizes(), (at::IntArrayRef{1, 2}));
  EXPECT_EQ(encoded.values[0][0].item<int>(), 15 | 1 << 4);
  EXPECT_EQ(encoded.values[0][1].item<int>(), 9 | 8 << 4);
  EXPECT_EQ(encoded.scales[0].item<float>(), 1.f);
  EXPECT_TRUE(decode_slots(encoded, SlotType::int4, 3).equal(slots));
}

TEST(SlotCodec, MoreThanTwoDimensions) {
  const at::Tensor slots = test::random_tensor({3, 2, 5}, 2);
  for (const SlotType type : kSlotTypes) {
    const at::Tensor back = round_slots(slots, type);
    EXPECT_EQ(back.sizes(), slots.sizes());
    // Rows are independent of each other.
    EXPECT_TRUE(round_slots(slots.narrow(0, 1, 1), type).equal(back.narrow(0, 1, 1))) << slot_type_name(type);
  }
}

TEST(SlotCodec, RefusesWhatIsNotFinite) {
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    at::Tensor slots = at::ones({2, 4});
    slots[1][2] = bad;
    for (const SlotType type : kSlotTypes) EXPECT_THROW(encode_slots(slots, type), InputError);
  }
  EXPECT_THROW(encode_slots(at::full({1, 2}, 3.4e38), SlotType::bf16), InputError);
  EXPECT_NO_THROW(encode_slots(at::full({1, 2}, 1e-45), SlotType::int8));
  EXPECT_THROW(slot_type_named("compress", "int5"), UsageError);
}

}  // namespace
}  // namespace steno
