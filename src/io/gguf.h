// GGUF v2 and v3 files (github.com/ggml-org/ggml/blob/master/docs/gguf.md), little-endian, read by mmap.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "io/ggml_types.h"
#include "io/mapped_file.h"

namespace steno {

// Arrays keep their element type; nested arrays are refused (no known file has them).
using GgufArray =
    std::variant<std::vector<uint8_t>, std::vector<int8_t>, std::vector<uint16_t>, std::vector<int16_t>,
                 std::vector<uint32_t>, std::vector<int32_t>, std::vector<float>, std::vector<bool>,
                 std::vector<std::string_view>, std::vector<uint64_t>, std::vector<int64_t>, std::vector<double>>;
// Strings are views into the mapped file.
using GgufValue = std::variant<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, float, bool, std::string_view,
                               uint64_t, int64_t, double, GgufArray>;

struct GgufTensor {
  std::string_view name;
  std::vector<int64_t> shape;  // row-major, outermost first: a linear layer is [out, in] (the file stores the reverse)
  GgmlType type;               // may be one that steno does not read: ggml_traits(type).name == nullptr
  std::span<const std::byte> data;  // view into the mapped file; empty where the type's size is not known

  int64_t numel() const;
};

class GgufFile {
 public:
  // Opens a file, or all parts of a split file ("-00001-of-0000N.gguf": the first part is named).
  // Throws InputError that names the file; no input makes it crash or allocate more than a few times the file's size.
  static std::shared_ptr<const GgufFile> open(const std::filesystem::path& path);
  // One whole file; a part of a split file is refused.
  static std::shared_ptr<const GgufFile> parse(std::shared_ptr<const MappedFile> file);

  uint32_t version() const;
  const std::filesystem::path& path() const;
  int64_t file_bytes() const;  // all parts
  // Metadata in file order.
  const std::vector<std::pair<std::string_view, GgufValue>>& metadata() const;
  const GgufValue* find(std::string_view key) const;
  // Tensors in file order.
  const std::vector<GgufTensor>& tensors() const;
  const GgufTensor* find_tensor(std::string_view name) const;

  // Typed look-ups. Integers of every width convert when the value fits. `get_*` throws InputError (naming the key)
  // when the key is absent or of another kind; `*_or` gives the default when the key is absent.
  int64_t get_int(std::string_view key) const;
  int64_t int_or(std::string_view key, int64_t fallback) const;
  double get_float(std::string_view key) const;
  double float_or(std::string_view key, double fallback) const;
  bool bool_or(std::string_view key, bool fallback) const;
  std::string_view get_string(std::string_view key) const;
  std::string_view string_or(std::string_view key, std::string_view fallback) const;
  const std::vector<std::string_view>& get_strings(std::string_view key) const;
  // Integer array of any width, widened; a scalar is an array of one. Absent: empty.
  std::vector<int64_t> ints_or_empty(std::string_view key) const;
  std::vector<float> floats_or_empty(std::string_view key) const;

  ~GgufFile();

 private:
  GgufFile();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The tensor's values as a new tensor of `dtype` (f32 or bf16; bf16 is rounded from the exact f32 value), computed by
// ATen's threads. Throws InputError that names the tensor when its type cannot be read.
at::Tensor dequantize(const GgufTensor& tensor, at::ScalarType dtype);
// Rows [begin, end) only, of a tensor with two or more dimensions: [end - begin, shape[1], ...].
at::Tensor dequantize_rows(const GgufTensor& tensor, int64_t begin, int64_t end, at::ScalarType dtype);

// Throws InputError that names the tensor and the block when a block's scale (F32, F16, BF16: a value) is NaN or
// infinite. Reads the whole tensor once.
void check_scales(const GgufTensor& tensor);

}  // namespace steno
