#include <ATen/Parallel.h>

#include <atomic>
#include <limits>

#include "base/error.h"
#include "io/gguf.h"

namespace steno {
namespace {

// Work for one thread is worth starting from about here.
constexpr int64_t kGrainValues = 32768;

GgmlTraits readable_traits(const GgufTensor& tensor) {
  const GgmlTraits traits = ggml_traits(tensor.type);
  if (!traits.name)
    throw InputError("[gguf] tensor '{}': {} is not supported; convert the model to Q8_0", tensor.name,
                     ggml_type_name(static_cast<uint32_t>(tensor.type)));
  return traits;
}

at::Tensor dequantize_values(GgmlType type, const GgmlTraits& traits, const std::byte* src,
                             const std::vector<int64_t>& shape, at::ScalarType dtype) {
  TORCH_CHECK(dtype == at::kFloat || dtype == at::kBFloat16, "dequantize: f32 or bf16");
  at::Tensor result = at::empty(shape, dtype);
  void* dst = result.data_ptr();
  const int64_t blocks = result.numel() / traits.block_values;
  at::parallel_for(0, blocks, std::max<int64_t>(1, kGrainValues / traits.block_values),
                   [&](int64_t begin, int64_t end) {
                     const std::byte* from = src + begin * traits.block_bytes;
                     const int64_t first = begin * traits.block_values, values = (end - begin) * traits.block_values;
                     if (dtype == at::kFloat)
                       dequantize_to_f32(type, from, static_cast<float*>(dst) + first, values);
                     else
                       dequantize_to_bf16(type, from, static_cast<uint16_t*>(dst) + first, values);
                   });
  return result;
}

}  // namespace

int64_t GgufTensor::numel() const {
  int64_t product = 1;
  for (int64_t size : shape) product *= size;
  return product;
}

at::Tensor dequantize(const GgufTensor& tensor, at::ScalarType dtype) {
  return dequantize_values(tensor.type, readable_traits(tensor), tensor.data.data(), tensor.shape, dtype);
}

at::Tensor dequantize_rows(const GgufTensor& tensor, int64_t begin, int64_t end, at::ScalarType dtype) {
  const GgmlTraits traits = readable_traits(tensor);
  TORCH_CHECK(tensor.shape.size() >= 2 && 0 <= begin && begin <= end && end <= tensor.shape[0],
              "dequantize_rows: range");
  const int64_t row_bytes = ggml_bytes(tensor.type, tensor.numel() / tensor.shape[0]);
  std::vector<int64_t> shape = tensor.shape;
  shape[0] = end - begin;
  return dequantize_values(tensor.type, traits, tensor.data.data() + begin * row_bytes, shape, dtype);
}

void check_scales(const GgufTensor& tensor) {
  const GgmlTraits traits = readable_traits(tensor);
  // On all threads: for a large model this is the first touch of every page of the file.
  constexpr int64_t kNone = std::numeric_limits<int64_t>::max();
  std::atomic<int64_t> first{kNone};
  at::parallel_for(0, tensor.numel() / traits.block_values, 4096, [&](int64_t begin, int64_t end) {
    const int64_t found = find_bad_block(tensor.type, tensor.data.data() + begin * traits.block_bytes,
                                         (end - begin) * traits.block_values);
    if (found < 0) return;
    int64_t known = first.load();
    while (begin + found < known && !first.compare_exchange_weak(known, begin + found)) {
    }
  });
  if (const int64_t bad = first.load(); bad != kNone)
    throw InputError("[gguf] tensor '{}': block {} (from value {}) of type {} is NaN or infinite; the file is damaged",
                     tensor.name, bad, bad * traits.block_values, traits.name);
}

}  // namespace steno
