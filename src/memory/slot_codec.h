// How the numbers of a slot are stored: whole, halved, or rounded to a scale per row.
#pragma once
#include <ATen/core/Tensor.h>

#include <array>
#include <string>

namespace steno {

// int8, int4: per row (the last dimension), q = round(x / s) with s = max |x| / 127 or / 7, so that the error is at
// most s / 2 and the largest number of a row comes back but for the rounding of f32.
enum class SlotType { f32, bf16, int8, int4 };
inline constexpr std::array kSlotTypes = {SlotType::f32, SlotType::bf16, SlotType::int8, SlotType::int4};

const char* slot_type_name(SlotType type);  // "f32", "bf16", "int8", "int4"
// Throws UsageError that lists the names; `owner` begins the message.
SlotType slot_type_named(const std::string& owner, const std::string& name);

struct EncodedSlots {
  at::Tensor values;  // f32, bf16, int8: [..., d]; int4: u8 [..., ceil(d / 2)], even columns in the low half, q + 8
  at::Tensor scales;  // int8, int4: f32 [...]; undefined for the others
};

// `slots`: floating point, on the CPU, at least one dimension. Throws InputError for NaN and infinity, which no scale
// can hold and no reader should get.
EncodedSlots encode_slots(const at::Tensor& slots, SlotType type);
// The numbers as f32 [..., columns]. `encoded` must be of that type and its shapes must fit (memory_file.cpp checks).
at::Tensor decode_slots(const EncodedSlots& encoded, SlotType type, int64_t columns);
// What comes back when `slots` are stored as `type`: f32, same shape.
at::Tensor round_slots(const at::Tensor& slots, SlotType type);

}  // namespace steno
