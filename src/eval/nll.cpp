#include "eval/nll.h"

#include <ATen/ops/logsumexp.h>
#include <c10/core/InferenceMode.h>

#include <cmath>

#include "base/error.h"

namespace steno {
namespace {

// Rows whose exponentials stay in a core's cache.
constexpr int64_t kBlock = 16;

// Takes logits as they come, rows in the order of positions, and notes what they say about the tokens that follow.
class Scorer {
 public:
  explicit Scorer(std::span<const TokenId> ids) : ids_(ids), nll_(ids.size(), NAN) {}

  void take(const FeedResult& result) {
    if (!result.logits.defined() || result.logits.numel() == 0) return;
    // Row i belongs to position first_position + i and predicts the token after it; the last token has none.
    const auto first = static_cast<size_t>(result.first_position);
    const size_t rows =
        std::min(static_cast<size_t>(result.logits.size(0)), ids_.size() - 1 - std::min(first, ids_.size() - 1));
    if (rows == 0) return;
    const auto nll = row_nll(result.logits.narrow(0, 0, static_cast<int64_t>(rows)), ids_.subspan(first + 1, rows));
    std::copy(nll.begin(), nll.end(), nll_.begin() + static_cast<std::ptrdiff_t>(first) + 1);
  }
  // From ids[first_scored] on everything must have been predicted.
  std::vector<double> result(int64_t first_scored) && {
    for (auto t = static_cast<size_t>(first_scored); t < nll_.size(); ++t)
      TORCH_CHECK(!std::isnan(nll_[t]), "token ", t, " was not scored, or its logits are not finite");
    return std::move(nll_);
  }

 private:
  std::span<const TokenId> ids_;
  std::vector<double> nll_;
};

}  // namespace

std::vector<double> row_nll(const at::Tensor& logits, std::span<const TokenId> targets) {
  const c10::InferenceMode inference;
  TORCH_CHECK(logits.dim() == 2 && logits.size(0) == static_cast<int64_t>(targets.size()));
  for (const TokenId id : targets)
    if (id < 0 || id >= logits.size(1))
      throw InputError("[nll] token id {} is outside the vocabulary of {}", id, logits.size(1));
  std::vector<double> nll;
  for (int64_t first = 0; first < logits.size(0); first += kBlock) {
    const at::Tensor block = logits.narrow(0, first, std::min(kBlock, logits.size(0) - first));
    const at::Tensor at_target = at::empty({block.size(0), 1}, at::kLong);
    std::copy_n(targets.begin() + first, block.size(0), at_target.mutable_data_ptr<int64_t>());
    const at::Tensor loss =
        (at::logsumexp(block, 1) - block.gather(1, at_target.to(block.device())).squeeze(1)).to(at::kCPU).contiguous();
    const float* values = loss.const_data_ptr<float>();
    nll.insert(nll.end(), values, values + loss.numel());
  }
  return nll;
}

std::vector<double> read_nll(Stream& stream, const Method& method, std::span<const TokenId> ids,
                             std::span<const int64_t> utterance_ends, const ItemProgress& progress, int64_t context) {
  Scorer scorer(ids);
  const int64_t own = std::max<int64_t>(stream.chunk_size(), 1);
  const int64_t piece = method.same_for_any_chunks() ? std::min(own, kNllChunk) : own;
  const auto count = static_cast<int64_t>(ids.size());
  context = std::min(context, count);
  auto next_end = utterance_ends.begin();
  for (int64_t done = 0; done < count;) {
    const bool remembered = done < context;
    int64_t end = std::min(done + piece, remembered ? context : count);
    const bool marked = method.reads_utterances() && next_end != utterance_ends.end() && *next_end <= end;
    if (marked) end = *next_end++;
    scorer.take(stream.feed(ids.subspan(static_cast<size_t>(done), static_cast<size_t>(end - done)),
                            remembered ? LogitRows::none : LogitRows::all));
    if (marked) stream.end_of_utterance();
    done = end;
    if (progress) progress(done);
  }
  scorer.take(stream.flush());
  return std::move(scorer).result(context + 1);
}

}  // namespace steno
