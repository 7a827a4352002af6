// The weight of a linear layer at its stored width: a dense tensor, or quantised blocks in a mapped file. Products
// choose by shape: few rows multiply the blocks directly (f32 accumulation, exact block values), many rows dequantise
// one layer into a scratch tensor and use ATen's matmul.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "io/ggml_types.h"

namespace steno {

class LinearWeight {
 public:
  LinearWeight() = default;
  // Dense [out, in], f32 or bf16; `bias` [out] f32 or undefined.
  explicit LinearWeight(at::Tensor dense, at::Tensor bias = {});
  // Quantised blocks, row-major [out, in]; `owner` keeps `blocks` alive.
  LinearWeight(GgmlType type, int64_t out, int64_t in, const std::byte* blocks, std::shared_ptr<const void> owner,
               at::Tensor bias = {});

  bool defined() const { return out_ > 0; }
  int64_t in() const { return in_; }
  int64_t out() const { return out_; }
  bool quantised() const { return blocks_ != nullptr; }
  GgmlType type() const { return type_; }
  const std::byte* blocks() const { return blocks_; }
  const at::Tensor& tensor() const { return dense_; }  // undefined when quantised
  const at::Tensor& bias() const { return bias_; }
  int64_t bytes() const;  // stored bytes, mapped or owned
  // Rows [first, first + count) of a quantised or dense weight; shares the storage.
  LinearWeight rows(int64_t first, int64_t count) const;
  // [out, in] values.
  at::Tensor dense(at::ScalarType dtype) const;

 private:
  int64_t out_ = 0, in_ = 0;
  at::Tensor dense_, bias_;
  GgmlType type_ = GgmlType::F32;
  const std::byte* blocks_ = nullptr;
  std::shared_ptr<const void> owner_;
};

// x [.., in] f32 or bf16 -> [.., out]. `compute`: dtype of the dense product. The result is f32 where blocks are
// multiplied directly and `compute` otherwise. Differentiable in x (weights are frozen).
at::Tensor linear(const at::Tensor& x, const LinearWeight& weight, at::ScalarType compute);
// Several layers of the same input, as one product where that is faster; one tensor per weight.
std::vector<at::Tensor> linear(const at::Tensor& x, std::span<const LinearWeight* const> weights,
                               at::ScalarType compute);

// How the few-row kernels (kernels.h) see a weight.
struct WeightBlocks {
  GgmlType type;
  const std::byte* data;
};
// nullopt: they do not read it (on another device, a format without a kernel, in % 32 != 0).
std::optional<WeightBlocks> weight_blocks(const LinearWeight& weight);

// Rows `ids` [..] of weight -> [.., in] f32.
at::Tensor lookup_rows(const LinearWeight& weight, const at::Tensor& ids);

}  // namespace steno
