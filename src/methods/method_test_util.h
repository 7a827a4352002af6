// For tests only: tiny models, random texts, and slow references that share nothing with the streams but the decoder's
// block steps.
#pragma once
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/random.h"
#include "memory/stream.h"
#include "model/loader.h"

namespace steno::test {

inline std::filesystem::path tiny_folder(const std::string& name) {
  return std::filesystem::path(STENO_SOURCE_DIR) / "tests/data/tiny_models" / name;
}

inline std::shared_ptr<const Decoder> tiny_decoder(const std::string& name, at::ScalarType dtype = at::kFloat) {
  return load_decoder(tiny_folder(name), {.dtype = dtype});
}

inline std::vector<TokenId> random_ids(const Decoder& decoder, int64_t count, uint64_t seed) {
  Random random(seed);
  std::vector<TokenId> ids(static_cast<size_t>(count));
  for (TokenId& id : ids) id = static_cast<TokenId>(random.below(static_cast<uint64_t>(decoder.config().vocab)));
  return ids;
}

// All ids through feed() calls of `piece` tokens each (0: one call); logits [T, V].
inline at::Tensor feed_all(Stream& stream, std::span<const TokenId> ids, size_t piece = 0) {
  std::vector<at::Tensor> parts;
  for (size_t at = 0; at < ids.size();) {
    const size_t count = std::min(piece == 0 ? ids.size() : piece, ids.size() - at);
    parts.push_back(stream.feed(ids.subspan(at, count), LogitRows::all).logits);
    at += count;
  }
  return at::cat(parts, 0);
}

// Largest difference, relative to the largest number of `expected`.
inline double relative_difference(const at::Tensor& got, const at::Tensor& expected) {
  const c10::InferenceMode inference;
  if (got.sizes() != expected.sizes()) return std::numeric_limits<double>::infinity();
  const double worst = (got.to(at::kDouble) - expected.to(at::kDouble)).abs().max().item<double>();
  return std::isnan(worst) ? std::numeric_limits<double>::infinity() : worst / expected.abs().max().item<double>();
}

inline bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  const c10::InferenceMode inference;
  return a.defined() == b.defined() && (!a.defined() || a.equal(b));
}

// q [1, H, T, d_h], k and v [1, H_kv, S, d_h], allowed [T, S]; softmax attention in f64 -> [1, T, H * d_h] f32.
inline at::Tensor attend_slowly(const Decoder& decoder, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                const at::Tensor& allowed) {
  const int64_t group = q.size(1) / k.size(1);
  const auto wide = [&](const at::Tensor& x) { return x.to(at::kDouble).repeat_interleave(group, 1); };
  at::Tensor scores = at::matmul(q.to(at::kDouble), wide(k).transpose(2, 3)) * decoder.config().attention_scale;
  scores = scores.masked_fill(allowed.logical_not(), -std::numeric_limits<double>::infinity());
  return at::matmul(at::softmax(scores, -1), wide(v)).transpose(1, 2).reshape({1, q.size(2), -1}).to(at::kFloat);
}

inline at::Tensor ids_tensor(std::span<const TokenId> ids) {
  const at::Tensor t = at::empty({1, static_cast<int64_t>(ids.size())}, at::kLong);
  std::copy(ids.begin(), ids.end(), t.mutable_data_ptr<int64_t>());
  return t;
}

// One forward over the whole text, original positions: the query at i reads j where visible(i, j) and j <= i, and in
// sliding layers only where the model does. Logits [T, V].
inline at::Tensor masked_forward(const Decoder& decoder, std::span<const TokenId> ids,
                                 const std::function<bool(int64_t, int64_t)>& visible) {
  const c10::InferenceMode inference;
  const auto count = static_cast<int64_t>(ids.size());
  const at::Tensor positions = at::arange(count, at::kLong).unsqueeze(0);
  at::Tensor x = decoder.embed(ids_tensor(ids));
  for (int64_t layer = 0; layer < decoder.config().layers; ++layer) {
    const int64_t window = decoder.config().kinds[layer].window;
    const at::Tensor allowed = at::zeros({count, count}, at::kBool);
    auto open = allowed.accessor<bool, 2>();
    for (int64_t i = 0; i < count; ++i)
      for (int64_t j = 0; j <= i; ++j) open[i][j] = visible(i, j) && (window == 0 || i - j < window);
    const Projected p = decoder.project(layer, decoder.attention_input(layer, x), nullptr);
    x = decoder.finish(layer, x,
                       attend_slowly(decoder, decoder.rotate(layer, p.q, positions),
                                     decoder.rotate(layer, p.k, positions), p.v, allowed),
                       nullptr);
  }
  return decoder.head(decoder.final_norm(x))[0];
}

// Packed positions token by token, with nothing clever: every layer keeps unrotated keys; at each step all of them are
// rotated to their ranks 0 .. n-1 and the query to its own. Sliding layers look at ranks as well.
class PackedReference {
 public:
  PackedReference(const Decoder& decoder, int64_t sinks, int64_t budget, bool evict_first)
      : decoder_(decoder),
        sinks_(sinks),
        budget_(budget),
        evict_first_(evict_first),
        k_(static_cast<size_t>(decoder.config().layers)),
        v_(k_.size()) {}

  // Logits [V] after one more token.
  at::Tensor step(TokenId id) {
    const c10::InferenceMode inference;
    kept.push_back(seen_++);
    if (evict_first_) cut();
    // Keys and values of the token go behind those kept; the cut above has made room in the cache already.
    const auto rank = static_cast<int64_t>(kept.size()) - 1;
    query_ranks.push_back(rank);
    const at::Tensor ranks = at::arange(rank + 1, at::kLong).unsqueeze(0);
    at::Tensor x = decoder_.embed(ids_tensor(std::span(&id, 1)));
    for (int64_t layer = 0; layer < decoder_.config().layers; ++layer) {
      at::Tensor &k = k_[static_cast<size_t>(layer)], &v = v_[static_cast<size_t>(layer)];
      const Projected p = decoder_.project(layer, decoder_.attention_input(layer, x), nullptr);
      k = k.defined() ? at::cat({k, p.k}, 2) : p.k.clone();
      v = v.defined() ? at::cat({v, p.v}, 2) : p.v.clone();
      const int64_t window = decoder_.config().kinds[layer].window;
      const at::Tensor allowed = window == 0 ? at::ones({1, rank + 1}, at::kBool) : rank - ranks < window;
      x = decoder_.finish(layer, x,
                          attend_slowly(decoder_, decoder_.rotate(layer, p.q, at::full({1, 1}, rank, at::kLong)),
                                        decoder_.rotate(layer, k, ranks), v, allowed),
                          nullptr);
    }
    if (!evict_first_) cut();
    return decoder_.head(decoder_.final_norm(x))[0][0];
  }

  at::Tensor read(std::span<const TokenId> ids) {
    std::vector<at::Tensor> logits;
    for (const TokenId id : ids) logits.push_back(step(id));
    return at::stack(logits);
  }

  // Makes room for a turn: the oldest slots behind the sinks leave until `tokens` more fit.
  void reserve(int64_t tokens) { shrink(budget_ - tokens); }

  std::vector<int64_t> kept;         // original positions, by rank
  std::vector<int64_t> query_ranks;  // of every step

 private:
  void cut() { shrink(budget_); }

  void shrink(int64_t size) {
    while (static_cast<int64_t>(kept.size()) > std::max(size, sinks_)) {
      kept.erase(kept.begin() + sinks_);
      // At an evict-first cut the new token has no keys yet; the next concatenation brings them.
      for (auto* side : {&k_, &v_})
        for (at::Tensor& t : *side)
          if (t.defined()) t = at::cat({t.narrow(2, 0, sinks_), t.narrow(2, sinks_ + 1, t.size(2) - sinks_ - 1)}, 2);
    }
  }

  const Decoder& decoder_;
  int64_t sinks_, budget_, seen_ = 0;
  bool evict_first_;
  std::vector<at::Tensor> k_, v_;  // [layers] of [1, H_kv, n, d_h]
};

}  // namespace steno::test
