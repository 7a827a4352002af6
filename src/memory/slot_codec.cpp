#include "memory/slot_codec.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include "base/error.h"

namespace steno {
namespace {

int64_t largest(SlotType type) { return type == SlotType::int8 ? 127 : 7; }

// [..., d] of -7..7 -> u8 [..., ceil(d / 2)].
at::Tensor pack_halves(at::Tensor values) {
  values = (values + 8).to(at::kByte);
  if (values.size(-1) % 2 != 0) values = at::constant_pad_nd(values, {0, 1}, 8);
  const at::Tensor pairs = values.unflatten(-1, {-1, 2});
  return at::bitwise_or(pairs.select(-1, 0), at::bitwise_left_shift(pairs.select(-1, 1), 4)).contiguous();
}

at::Tensor unpack_halves(const at::Tensor& packed, int64_t columns) {
  const at::Tensor low = at::bitwise_and(packed, 15), high = at::bitwise_right_shift(packed, 4);
  return at::stack({low, high}, -1).flatten(-2).narrow(-1, 0, columns).to(at::kFloat) - 8;
}

}  // namespace

const char* slot_type_name(SlotType type) {
  switch (type) {
    case SlotType::f32:
      return "f32";
    case SlotType::bf16:
      return "bf16";
    case SlotType::int8:
      return "int8";
    case SlotType::int4:
      return "int4";
  }
  return "";
}

SlotType slot_type_named(const std::string& owner, const std::string& name) {
  for (const SlotType type : kSlotTypes)
    if (name == slot_type_name(type)) return type;
  throw UsageError("[{}] slots are stored as f32, bf16, int8 or int4, not as '{}'", owner, name);
}

EncodedSlots encode_slots(const at::Tensor& slots, SlotType type) {
  const c10::InferenceMode inference;
  const at::Tensor values = slots.to(at::kFloat).contiguous();
  if (!at::isfinite(values).all().item<bool>())
    throw InputError("[memory] a slot holds a number that is not finite; the model or its adapter is broken");
  if (type == SlotType::f32) return {values.clone(), {}};
  if (type == SlotType::bf16) {
    EncodedSlots encoded{values.to(at::kBFloat16), {}};
    if (!at::isfinite(encoded.values).all().item<bool>())
      throw InputError("[memory] a slot holds a number that bf16 cannot hold; store the slots as f32 or int8");
    return encoded;
  }
  const at::Tensor scales = values.abs().amax(-1) / static_cast<double>(largest(type));
  const at::Tensor divisor = scales.unsqueeze(-1);
  // Rows of zeros, and those whose scale underflows.
  const at::Tensor rounded =
      at::where(divisor > 0, values / divisor, at::zeros_like(values)).round().clamp(-largest(type), largest(type));
  if (type == SlotType::int8) return {rounded.to(at::kChar), scales};
  return {pack_halves(rounded), scales};
}

at::Tensor decode_slots(const EncodedSlots& encoded, SlotType type, int64_t columns) {
  const c10::InferenceMode inference;
  if (type == SlotType::f32) return encoded.values.clone();
  if (type == SlotType::bf16) return encoded.values.to(at::kFloat);
  const at::Tensor values =
      type == SlotType::int8 ? encoded.values.to(at::kFloat) : unpack_halves(encoded.values, columns);
  return values * encoded.scales.unsqueeze(-1);
}

at::Tensor round_slots(const at::Tensor& slots, SlotType type) {
  return decode_slots(encode_slots(slots, type), type, slots.size(-1));
}

}  // namespace steno
