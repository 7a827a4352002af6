// For tests only: score-based policies computed slowly. Everything that was ever read is stored, unrotated; what was
// evicted is masked to -inf per layer and head, and every score is worked out anew from the log of all probabilities.
// Shares nothing with the streams but the decoder's block steps.
#pragma once
#include <gtest/gtest.h>

#include "methods/method.h"
#include "methods/method_test_util.h"

namespace steno::test {

class ScoreReference {
 public:
  ScoreReference(const Decoder& decoder, bool packed)
      : decoder_(decoder),
        packed_(packed),
        kept(static_cast<size_t>(decoder.config().layers),
             std::vector<std::vector<bool>>(static_cast<size_t>(decoder.config().kv_heads))),
        layers_(kept.size()) {}

  int64_t seen() const { return static_cast<int64_t>(chunk_of.size()); }
  int64_t group() const { return decoder_.config().heads / decoder_.config().kv_heads; }

  // One chunk, read causally over what is kept. Logits [T, V].
  at::Tensor read(std::span<const TokenId> ids) {
    const c10::InferenceMode inference;
    const auto steps = static_cast<int64_t>(ids.size());
    at::Tensor x = decoder_.embed(ids_tensor(ids));
    const int64_t chunk = chunk_of.empty() ? 0 : chunk_of.back() + 1;
    chunk_of.insert(chunk_of.end(), ids.size(), chunk);
    for (size_t l = 0; l < layers_.size(); ++l) {
      Layer& layer = layers_[l];
      for (auto& head : kept[l]) head.insert(head.end(), ids.size(), true);
      const Projected p =
          decoder_.project(static_cast<int64_t>(l), decoder_.attention_input(static_cast<int64_t>(l), x), nullptr);
      const auto append = [](at::Tensor& all, const at::Tensor& more) {
        all = all.defined() ? at::cat({all, more}, 2) : more.clone();
      };
      append(layer.q, p.q), append(layer.k, p.k), append(layer.v, p.v);
      const at::Tensor shares = shares_now(static_cast<int64_t>(l), steps);
      layer.log.push_back(shares);
      const at::Tensor v = layer.v.to(at::kDouble).repeat_interleave(group(), 1)[0];
      x = decoder_.finish(static_cast<int64_t>(l), x,
                          at::matmul(shares, v).transpose(0, 1).reshape({1, steps, -1}).to(at::kFloat), nullptr);
    }
    return decoder_.head(decoder_.final_norm(x))[0];
  }

  // What the newest `count` queries give to everything ever read, with the present keep sets: [H, count, N] f64.
  at::Tensor shares_now(int64_t layer, int64_t count) const {
    const c10::InferenceMode inference;
    const Layer& l = layers_[static_cast<size_t>(layer)];
    const int64_t window = decoder_.config().kinds[static_cast<size_t>(layer)].window;
    std::vector<at::Tensor> heads;
    for (int64_t head = 0; head < decoder_.config().kv_heads; ++head) {
      const auto places = places_of(layer, head);
      const at::Tensor place = at::tensor(places, at::kLong).unsqueeze(0);
      const at::Tensor k = decoder_.rotate(layer, l.k.narrow(1, head, 1), place);
      const at::Tensor q =
          decoder_.rotate(layer, l.q.narrow(1, head * group(), group()).narrow(2, seen() - count, count),
                          place.narrow(1, seen() - count, count));
      at::Tensor scores =
          at::matmul(q.to(at::kDouble), k.to(at::kDouble).transpose(2, 3))[0] * decoder_.config().attention_scale;
      const at::Tensor hidden = at::empty({count, seen()}, at::kBool);
      auto hide = hidden.accessor<bool, 2>();
      for (int64_t i = 0; i < count; ++i)
        for (int64_t j = 0; j < seen(); ++j) hide[i][j] = !readable(layer, head, seen() - count + i, j, places, window);
      scores.masked_fill_(hidden, -std::numeric_limits<double>::infinity());
      heads.push_back(at::softmax(scores, -1));
    }
    return at::cat(heads, 0);
  }

  // Everything that was given when it was read: [H, N, N] f64, row = query.
  at::Tensor shares(int64_t layer) const {
    const c10::InferenceMode inference;
    const at::Tensor all = at::zeros({decoder_.config().heads, seen(), seen()}, at::kDouble);
    int64_t first = 0;
    for (const at::Tensor& part : layers_[static_cast<size_t>(layer)].log) {
      all.narrow(1, first, part.size(1)).narrow(2, 0, part.size(2)).copy_(part);
      first += part.size(1);
    }
    return all;
  }

  std::vector<int64_t> kept_positions(int64_t layer, int64_t head) const {
    std::vector<int64_t> positions;
    for (int64_t j = 0; j < seen(); ++j)
      if (kept[static_cast<size_t>(layer)][static_cast<size_t>(head)][static_cast<size_t>(j)]) positions.push_back(j);
    return positions;
  }

 private:
  struct Layer {
    at::Tensor q, k, v;           // [1, H or H_kv, N, d_h], unrotated
    std::vector<at::Tensor> log;  // [H, T, N at the time] of every chunk
  };

  // Absolute positions, or ranks among the kept.
  std::vector<int64_t> places_of(int64_t layer, int64_t head) const {
    std::vector<int64_t> places(static_cast<size_t>(seen()), 0);
    int64_t next = 0;
    for (size_t j = 0; j < places.size(); ++j)
      if (!packed_ || kept[static_cast<size_t>(layer)][static_cast<size_t>(head)][j])
        places[j] = packed_ ? next++ : static_cast<int64_t>(j);
    return places;
  }

  bool readable(int64_t layer, int64_t head, int64_t query, int64_t j, const std::vector<int64_t>& places,
                int64_t window) const {
    if (j > query || !kept[static_cast<size_t>(layer)][static_cast<size_t>(head)][static_cast<size_t>(j)]) return false;
    return window == 0 || places[static_cast<size_t>(query)] - places[static_cast<size_t>(j)] < window;
  }

  const Decoder& decoder_;
  bool packed_;

 public:
  std::vector<std::vector<std::vector<bool>>> kept;  // [layers][H_kv][N]
  std::vector<int64_t> chunk_of;                     // [N]

 private:
  std::vector<Layer> layers_;
};

// A policy in the words of its publication.
struct NaivePolicy {
  int64_t budget = 0;
  // Scores of all N positions for one layer and key/value head; those of positions that are gone do not matter.
  std::function<std::vector<double>(const ScoreReference&, int64_t layer, int64_t head)> scores;
  // 0: goes first, by score; higher: only when nothing lower is left, oldest first.
  std::function<int(const ScoreReference&, int64_t position)> immunity = [](const ScoreReference&, int64_t) {
    return 0;
  };

  void cut(ScoreReference& reference) const {
    for (size_t layer = 0; layer < reference.kept.size(); ++layer) {
      for (size_t head = 0; head < reference.kept[layer].size(); ++head) {
        auto& kept = reference.kept[layer][head];
        const auto all = scores(reference, static_cast<int64_t>(layer), static_cast<int64_t>(head));
        while (std::count(kept.begin(), kept.end(), true) > budget) {
          int64_t worst = -1;
          const auto key = [&](int64_t j) {
            const int level = immunity(reference, j);
            return std::tuple{level, level == 0 ? all[static_cast<size_t>(j)] : 0.0, j};
          };
          for (int64_t j = 0; j < reference.seen(); ++j)
            if (kept[static_cast<size_t>(j)] && (worst < 0 || key(j) < key(worst))) worst = j;
          kept[static_cast<size_t>(worst)] = false;
        }
      }
    }
  }
};

// [H or group, N, N] or [.., N] summed or averaged to what one head's table sees.
inline std::vector<double> as_doubles(const at::Tensor& t) {
  const at::Tensor dense = t.to(at::kDouble).contiguous();
  return {dense.const_data_ptr<double>(), dense.const_data_ptr<double>() + dense.numel()};
}

struct ScoreCase {
  std::string model = "llama_tied";
  int64_t chunk = 16;
  bool packed = false, cut_at_feed = false, cut_single = true;
  uint64_t seed = 1;
};

inline std::string describe(const ScoreCase& c) {
  return fmt::format("{} chunk {}{}{}", c.model, c.chunk, c.packed ? " packed" : "", c.cut_at_feed ? " by feed" : "");
}

// Feeds of different lengths through the method and through the reference: the same logits and the same keep sets after
// every feed.
inline void expect_same_as_reference(const Method& method, StreamOptions options, const NaivePolicy& policy,
                                     const ScoreCase& c) {
  const auto decoder = tiny_decoder(c.model);
  options.chunk_size = c.chunk;
  options.params["positions"] = c.packed ? "packed" : "gaps";
  options.params["cut"] = c.cut_at_feed ? "feed" : "chunk";
  const auto stream = method.open_stream(decoder, options);
  ScoreReference reference(*decoder, c.packed);
  const auto ids = random_ids(*decoder, 80, c.seed);
  size_t fed = 0;
  for (const size_t length : {3, 30, 1, 9, 1, 1, 21, 2, 1, 5}) {
    const auto feed = std::span(ids).subspan(fed, length);
    fed += length;
    std::vector<at::Tensor> expected;
    for (size_t done = 0; done < length;) {
      const size_t count = std::min(static_cast<size_t>(c.chunk), length - done);
      expected.push_back(reference.read(feed.subspan(done, count)));
      done += count;
      if ((c.cut_single || length > 1) && (!c.cut_at_feed || done == length)) policy.cut(reference);
    }
    const at::Tensor got = stream->feed(feed, LogitRows::all).logits;
    const c10::InferenceMode inference;
    ASSERT_LE(relative_difference(got, at::cat(expected, 0)), 1e-5) << describe(c) << " after " << fed;
    for (int64_t layer = 0; layer < decoder->config().layers; ++layer)
      for (int64_t head = 0; head < decoder->config().kv_heads; ++head)
        ASSERT_EQ(stream->kept_positions(layer, head), reference.kept_positions(layer, head))
            << describe(c) << " layer " << layer << " head " << head << " after " << fed;
  }
}

// All ways of reading on the models with groups of query heads, sliding windows and norms on queries and keys.
inline std::vector<ScoreCase> score_cases() {
  std::vector<ScoreCase> cases;
  for (const char* model : {"llama_tied", "qwen3", "gemma3", "mistral_window", "llama_rope_yarn"})
    for (const bool packed : {false, true})
      for (const int64_t chunk : {1, 5, 16})
        for (const bool by_feed : {false, true}) cases.push_back({model, chunk, packed, by_feed});
  for (const int64_t chunk : {1, 16}) cases.push_back({"llama_rope_dynamic", chunk, true, false});
  return cases;
}

}  // namespace steno::test
