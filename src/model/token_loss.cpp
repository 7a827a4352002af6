#include "model/token_loss.h"

#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "base/error.h"
#include "model/kernels.h"

namespace steno {
namespace {

// Logits of one piece: 32 MB in f32.
constexpr int64_t kPieceNumbers = 8 << 20;

void check_targets(const at::Tensor& targets, int64_t vocab) {
  if (targets.numel() == 0) return;
  const int64_t low = targets.min().item<int64_t>(), high = targets.max().item<int64_t>();
  if (low < 0 || high >= vocab)
    throw InputError("[loss] target {} is outside the vocabulary of {}", low < 0 ? low : high, vocab);
}

// Loss per row of logits [n, V] in f32. With `gradient` the logits become softmax minus one-hot, in place.
at::Tensor softmax_nll(at::Tensor& logits, const at::Tensor& targets, bool gradient) {
  const auto type = logits.scalar_type();
  const int64_t rows = logits.size(0), n = logits.size(1);
  if (logits.is_cpu() && (type == at::kFloat || type == at::kBFloat16)) {
    logits = logits.contiguous();
    const at::Tensor ids = targets.contiguous(), losses = at::empty({rows}, logits.options().dtype(at::kFloat));
    const auto num = type == at::kFloat ? kernels::Num::f32 : kernels::Num::bf16;
    auto* data = static_cast<std::byte*>(logits.mutable_data_ptr());
    auto* loss = losses.mutable_data_ptr<float>();
    const int64_t* id = ids.const_data_ptr<int64_t>();
    const int64_t row_bytes = n * static_cast<int64_t>(logits.element_size());
    at::parallel_for(0, rows, 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        loss[r] = kernels::token_nll(data + r * row_bytes, num, id[r], n, gradient ? data + r * row_bytes : nullptr);
    });
    return losses;
  }
  const at::Tensor column = targets.unsqueeze(1);
  logits = logits.to(at::kFloat);
  const at::Tensor chosen = logits.gather(1, column);
  const at::Tensor normaliser = at::logsumexp(logits, 1, /*keepdim=*/true);
  if (gradient) {
    logits.sub_(normaliser).exp_();
    logits.scatter_add_(1, column, at::full_like(chosen, -1));
  }
  return (normaliser - chosen).squeeze(1);
}

// Loss per row of hidden [n, d]; where `gradient` [n, d] f32 is defined, d(sum of losses)/d(hidden) is written to it.
at::Tensor piece_nll(const LinearWeight& head, at::ScalarType compute, const at::Tensor& hidden,
                     const at::Tensor& targets, const at::Tensor& gradient) {
  at::Tensor logits = linear(hidden, head, compute);
  const at::Tensor losses = softmax_nll(logits, targets, gradient.defined());
  if (gradient.defined()) {
    at::Tensor sum;
    constexpr int64_t kColumns = 8192;  // a quantised head is made dense a few rows at a time
    const int64_t step = head.quantised() ? kColumns : head.out();
    for (int64_t first = 0; first < head.out(); first += step) {
      const int64_t count = std::min(step, head.out() - first);
      const at::Tensor part =
          at::matmul(logits.narrow(1, first, count).to(compute), head.rows(first, count).dense(compute)).to(at::kFloat);
      sum = sum.defined() ? sum.add_(part) : part;
    }
    at::Tensor(gradient).copy_(sum);
  }
  return losses;
}

// All rows, piece by piece.
at::Tensor rows_nll(const Decoder& decoder, const at::Tensor& hidden, const at::Tensor& targets,
                    const at::Tensor& gradient) {
  const int64_t rows = hidden.size(0), vocab = decoder.config().vocab;
  // A multiple of 32 rows, see padded_rows() in linear.cpp.
  const int64_t step = std::max<int64_t>(32, kPieceNumbers / vocab / 32 * 32);
  const at::Tensor losses = at::empty({rows}, hidden.options().dtype(at::kFloat));
  for (int64_t first = 0; first < rows; first += step) {
    const int64_t count = std::min(step, rows - first);
    losses.narrow(0, first, count)
        .copy_(piece_nll(decoder.weights().head, decoder.compute_dtype(), hidden.narrow(0, first, count),
                         targets.narrow(0, first, count),
                         gradient.defined() ? gradient.narrow(0, first, count) : at::Tensor()));
  }
  return losses;
}

class SumNll : public torch::autograd::Function<SumNll> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& hidden,
                            const at::Tensor& targets, const Decoder* decoder) {
    const at::Tensor gradient = at::empty(hidden.sizes(), hidden.options().dtype(at::kFloat));
    const at::Tensor losses = rows_nll(*decoder, hidden, targets, gradient);
    context->save_for_backward({gradient});
    return losses.sum(at::kDouble).to(at::kFloat);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    return {context->get_saved_variables()[0] * gradients[0], at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor sum_nll(const Decoder& decoder, const at::Tensor& hidden, const at::Tensor& targets) {
  check_targets(targets, decoder.config().vocab);
  if (c10::GradMode::is_enabled() && hidden.requires_grad()) return SumNll::apply(hidden, targets, &decoder);
  return rows_nll(decoder, hidden, targets, {}).sum(at::kDouble).to(at::kFloat);
}

}  // namespace steno
