#include "train/exchange.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <sstream>

namespace steno {
namespace {

constexpr int64_t kNamesRow = 256;  // bytes of all objective names of a rank

}  // namespace

LossSums LossExchange::sum(const LossSums& mine) {
  if (ranks_.size() == 1) return mine;
  agree_on(mine);
  const at::Tensor values = at::zeros({static_cast<int64_t>(names_.size()), 3}, at::kDouble);
  auto rows = values.accessor<double, 2>();
  int64_t row = 0;
  for (const std::string& name : names_) {
    if (const auto found = mine.find(name); found != mine.end()) {
      rows[row][0] = found->second.loss;
      rows[row][1] = static_cast<double>(found->second.tokens);
      rows[row][2] = static_cast<double>(found->second.examples);
    }
    ++row;
  }
  at::Tensor shared = values;
  if (!names_.empty()) ranks_.sum(shared);
  LossSums all;
  const auto summed = shared.accessor<double, 2>();
  row = 0;
  for (const std::string& name : names_) {
    const LossSum sum = {summed[row][0], static_cast<int64_t>(summed[row][1]), static_cast<int64_t>(summed[row][2])};
    ++row;
    if (sum.examples > 0 || sum.tokens > 0) all[name] = sum;
  }
  return all;
}

void LossExchange::agree_on(const LossSums& mine) {
  bool unknown = false;
  std::string text;
  for (const auto& [name, sum] : mine) unknown |= !names_.contains(name), text += name + "\n";
  if (!ranks_.any(unknown)) return;
  TORCH_CHECK(static_cast<int64_t>(text.size()) <= kNamesRow, "names of objectives are too long");
  // Every rank writes into its own row, so that the sum holds all rows.
  at::Tensor rows = at::zeros({ranks_.size(), kNamesRow}, at::kDouble);
  double* own = rows.mutable_data_ptr<double>() + ranks_.rank() * kNamesRow;
  for (size_t i = 0; i < text.size(); ++i) own[i] = static_cast<unsigned char>(text[i]);
  ranks_.sum(rows);
  for (int64_t rank = 0; rank < ranks_.size(); ++rank) {
    std::string names;
    for (int64_t i = 0; i < kNamesRow; ++i)
      if (const double c = rows[rank][i].item<double>(); c != 0) names += static_cast<char>(c);
    std::istringstream lines(names);
    for (std::string name; std::getline(lines, name);) names_.insert(name);
  }
}

void sum_gradients(Communicator& ranks, const std::vector<Parameter>& parameters, int64_t bucket) {
  if (ranks.size() == 1) return;
  const at::NoGradGuard no_grad;
  for (size_t begin = 0; begin < parameters.size();) {
    std::vector<at::Tensor> flat;
    int64_t numbers = 0;
    size_t end = begin;
    for (; end < parameters.size(); ++end) {
      const at::Tensor gradient = parameters[end].value.grad();
      if (!flat.empty() && (numbers + gradient.numel() > bucket || gradient.device() != flat.front().device())) break;
      flat.push_back(gradient.view({-1}));
      numbers += gradient.numel();
    }
    at::Tensor together = at::cat(flat);
    ranks.sum(together);
    int64_t offset = 0;
    for (at::Tensor& gradient : flat) {
      gradient.copy_(together.narrow(0, offset, gradient.numel()));
      offset += gradient.numel();
    }
    begin = end;
  }
}

void broadcast_all(Communicator& ranks, const std::vector<at::Tensor>& tensors) {
  if (ranks.size() == 1) return;
  const at::NoGradGuard no_grad;
  for (at::Tensor tensor : tensors) {
    tensor = tensor.detach();
    ranks.broadcast(tensor, 0);
  }
}

std::string broadcast_text(Communicator& ranks, const std::string& text) {
  if (ranks.size() == 1) return text;
  at::Tensor length = at::full({1}, static_cast<double>(text.size()), at::kDouble);
  ranks.broadcast(length, 0);
  at::Tensor bytes = at::zeros({static_cast<int64_t>(length.item<double>())}, at::kDouble);
  if (ranks.rank() == 0)
    for (size_t i = 0; i < text.size(); ++i) bytes.mutable_data_ptr<double>()[i] = static_cast<unsigned char>(text[i]);
  if (bytes.numel() > 0) ranks.broadcast(bytes, 0);
  std::string all(static_cast<size_t>(bytes.numel()), '\0');
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<char>(bytes.const_data_ptr<double>()[i]);
  return all;
}

}  // namespace steno
