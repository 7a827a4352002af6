#include "io/ggml_types.h"

#include <fmt/core.h>

#include <array>

namespace steno {
namespace {

struct Format {
  uint32_t number;
  const char* name;
  int64_t block_values, block_bytes;  // 0: the format was withdrawn and its size does not matter any more
  bool readable;
};

// Every type number that ggml gave out. The sizes of formats that cannot be read still serve to check where their
// tensors end.
constexpr std::array kFormats = {
    Format{0, "F32", 1, 4, true},          Format{1, "F16", 1, 2, true},          Format{2, "Q4_0", 32, 18, true},
    Format{3, "Q4_1", 32, 20, true},       Format{4, "Q4_2", 0, 0, false},        Format{5, "Q4_3", 0, 0, false},
    Format{6, "Q5_0", 32, 22, true},       Format{7, "Q5_1", 32, 24, true},       Format{8, "Q8_0", 32, 34, true},
    Format{9, "Q8_1", 32, 40, false},      Format{10, "Q2_K", 256, 84, true},     Format{11, "Q3_K", 256, 110, true},
    Format{12, "Q4_K", 256, 144, true},    Format{13, "Q5_K", 256, 176, true},    Format{14, "Q6_K", 256, 210, true},
    Format{15, "Q8_K", 256, 292, false},   Format{16, "IQ2_XXS", 256, 66, false}, Format{17, "IQ2_XS", 256, 74, false},
    Format{18, "IQ3_XXS", 256, 98, false}, Format{19, "IQ1_S", 256, 50, false},   Format{20, "IQ4_NL", 32, 18, false},
    Format{21, "IQ3_S", 256, 110, false},  Format{22, "IQ2_S", 256, 82, false},   Format{23, "IQ4_XS", 256, 136, false},
    Format{24, "I8", 1, 1, false},         Format{25, "I16", 1, 2, false},        Format{26, "I32", 1, 4, false},
    Format{27, "I64", 1, 8, false},        Format{28, "F64", 1, 8, false},        Format{29, "IQ1_M", 256, 56, false},
    Format{30, "BF16", 1, 2, true},        Format{31, "Q4_0_4_4", 0, 0, false},   Format{32, "Q4_0_4_8", 0, 0, false},
    Format{33, "Q4_0_8_8", 0, 0, false},   Format{34, "TQ1_0", 256, 54, false},   Format{35, "TQ2_0", 256, 66, false},
    Format{36, "IQ4_NL_4_4", 0, 0, false}, Format{37, "IQ4_NL_4_8", 0, 0, false}, Format{38, "IQ4_NL_8_8", 0, 0, false},
    Format{39, "MXFP4", 32, 17, false},    Format{40, "NVFP4", 64, 36, false},    Format{41, "Q1_0", 128, 18, false},
};

const Format* find_format(uint32_t number) {
  for (const Format& format : kFormats)
    if (format.number == number) return &format;
  return nullptr;
}

}  // namespace

GgmlTraits ggml_traits(GgmlType type) {
  const Format* format = find_format(static_cast<uint32_t>(type));
  if (!format) return {nullptr, 0, 0};
  return {format->readable ? format->name : nullptr, format->block_values, format->block_bytes};
}

std::string ggml_type_name(uint32_t type) {
  const Format* format = find_format(type);
  return format ? format->name : fmt::format("type {}", type);
}

int64_t ggml_bytes(GgmlType type, int64_t values) {
  const GgmlTraits traits = ggml_traits(type);
  return traits.block_values == 0 ? 0 : values / traits.block_values * traits.block_bytes;
}

}  // namespace steno
