// What Decoder::run promises about its arguments: masks, fronts, rows, captures, conversations, threads.
#include "model/decoder.h"

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/error.h"
#include "model/model_test_util.h"
#include "model/quantised_test_util.h"

namespace steno {
namespace {

using namespace test;

at::Tensor range(int64_t begin, int64_t end) { return at::arange(begin, end, at::kLong).unsqueeze(0); }

// Rows of `ids` [B, S] as run() leaves them, at `positions` [B, S].
std::vector<LayerRows> rows_of(const Decoder& decoder, const at::Tensor& ids, const at::Tensor& positions = {}) {
  Input in = input_of(ids, LogitRows::none);
  in.positions = positions;
  in.capture.kv = true;
  std::vector<LayerRows> rows;
  for (const LayerKv& kv : decoder.run(in).kv) rows.push_back({kv.k, kv.v});
  return rows;
}

// Wide enough that threads share its products, with quantised weights.
std::shared_ptr<const Decoder> quantised_decoder(at::ScalarType compute = at::kFloat) {
  ModelConfig c;
  c.family = "llama";
  c.layers = 2, c.d_model = 256, c.heads = 8, c.kv_heads = 2, c.d_h = 32, c.d_ff = 512, c.vocab = 600;
  c.max_positions = 2048;
  c.attention_scale = 1 / std::sqrt(32.0);
  c.kinds.resize(2);
  DecoderWeights w;
  uint64_t seed = 0;
  const auto weight = [&](GgmlType type, int64_t out, int64_t in) {
    return random_weight(type, out, in, ++seed, 2 / std::sqrt(static_cast<double>(in)));
  };
  w.embedding = w.head = random_weight(GgmlType::Q8_0, c.vocab, c.d_model, 77);
  for (int i = 0; i < 2; ++i) {
    LayerWeights l;
    l.attention_norm = at::ones({256});
    l.mlp_norm = at::ones({256});
    l.q = weight(GgmlType::Q4_1, 256, 256), l.o = weight(GgmlType::Q4_0, 256, 256);
    l.k = weight(GgmlType::Q5_1, 64, 256), l.v = weight(GgmlType::Q8_0, 64, 256);
    l.gate = weight(GgmlType::Q4_1, 512, 256), l.up = weight(GgmlType::Q5_0, 512, 256);
    l.down = weight(GgmlType::Q6_K, 256, 512);
    w.layers.push_back(l);
  }
  w.final_norm = at::ones({256});
  return std::make_shared<const Decoder>(c, w, compute);
}

class DecoderTest : public testing::Test {
 protected:
  c10::InferenceMode inference_;
};

TEST_F(DecoderTest, RefusesIdsOutsideTheVocabulary) {
  const auto decoder = tiny_decoder("llama_tied");
  for (const int64_t bad : {int64_t{-1}, decoder->config().vocab}) {
    try {
      decoder->run(input_of(as_ids({1, bad})));
      ADD_FAILURE() << bad << " was accepted";
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find(std::to_string(bad)), std::string::npos) << error.what();
    }
  }
}

TEST_F(DecoderTest, EmbeddingsEqualIds) {
  for (const char* name : {"llama_tied", "gemma3"}) {
    const auto decoder = tiny_decoder(name);
    const at::Tensor ids = random_ids(2, 9, decoder->config().vocab, 1);
    Input in;
    in.embeddings = decoder->embed(ids);
    in.logits = LogitRows::all;
    EXPECT_TRUE(at::equal(decoder->run(in).logits, decoder->run(input_of(ids)).logits)) << name;
  }
}

// Embeddings that stand before text, as a compressed memory does.
TEST_F(DecoderTest, EmbeddingsBeforeTextEqualOneText) {
  const auto decoder = tiny_decoder("qwen3");
  const at::Tensor ids = random_ids(1, 14, decoder->config().vocab, 2);
  Input memory;
  memory.embeddings = decoder->embed(ids.slice(1, 0, 6));
  memory.rows = rows_in_place(*decoder, 14);
  decoder->run(memory);
  Input text = input_of(ids.slice(1, 6));
  text.rows = memory.rows;
  for (LayerRows& r : text.rows) r.used = 6;
  EXPECT_LE(difference(decoder->run(text).logits, decoder->run(input_of(ids)).logits.slice(1, 6)), 1e-5);
}

TEST_F(DecoderTest, CapturesHaveTheirShapesAndMeaning) {
  for (const char* name : {"llama_untied", "gemma3_scaled", "mistral_window"}) {
    const auto decoder = tiny_decoder(name);
    const ModelConfig& c = decoder->config();
    constexpr int64_t kBatch = 2, kRows = 9, kSteps = 5;
    const at::Tensor ids = random_ids(kBatch, kRows + kSteps, c.vocab, 3);
    Input in = input_of(ids.slice(1, kRows));
    in.rows = rows_of(*decoder, ids.slice(1, 0, kRows));
    in.row_positions = {range(0, kRows)};
    in.capture = {.hidden = true,
                  .attention_input = true,
                  .queries = true,
                  .kv = true,
                  .unrotated_keys = true,
                  .unrotated_queries = true,
                  .mass = true};
    const Output out = decoder->run(in);
    const auto layers = static_cast<size_t>(c.layers);
    ASSERT_EQ(out.hidden_states.size(), layers + 1);
    for (const size_t count : {out.attention_inputs.size(), out.queries.size(), out.kv.size(),
                               out.unrotated_keys.size(), out.unrotated_queries.size(), out.mass.size()})
      ASSERT_EQ(count, layers);
    using Sizes = std::vector<int64_t>;
    EXPECT_EQ(out.hidden.sizes(), (Sizes{kBatch, kSteps, c.d_model}));
    EXPECT_EQ(out.logits.sizes(), (Sizes{kBatch, kSteps, c.vocab}));
    EXPECT_TRUE(at::equal(out.hidden_states[0], decoder->embed(ids.slice(1, kRows))));
    const at::Tensor positions = range(kRows, kRows + kSteps).expand({kBatch, kSteps});
    const at::Tensor distance = positions.select(0, 0).view({-1, 1}) - range(0, kRows + kSteps);
    for (size_t i = 0; i < layers; ++i) {
      const auto layer = static_cast<int64_t>(i);
      EXPECT_EQ(out.hidden_states[i + 1].sizes(), (Sizes{kBatch, kSteps, c.d_model}));
      EXPECT_TRUE(at::equal(out.attention_inputs[i], decoder->attention_input(layer, out.hidden_states[i])));
      EXPECT_EQ(out.queries[i].sizes(), (Sizes{kBatch, c.heads, kSteps, c.d_h}));
      EXPECT_EQ(out.kv[i].v.sizes(), (Sizes{kBatch, c.kv_heads, kSteps, c.d_h}));
      EXPECT_EQ(out.kv[i].k.sizes(), out.kv[i].v.sizes());
      EXPECT_TRUE(at::equal(decoder->rotate(layer, out.unrotated_keys[i], positions), out.kv[i].k));
      EXPECT_TRUE(at::equal(decoder->rotate(layer, out.unrotated_queries[i], positions), out.queries[i]));
      // Mass against a plain softmax over the captured queries and keys.
      const at::Tensor keys = at::cat({in.rows[i].k, out.kv[i].k}, 2).repeat_interleave(c.heads / c.kv_heads, 1);
      at::Tensor open = distance >= 0;
      if (const int64_t window = c.kinds[i].window; window > 0) open = open.logical_and(distance < window);
      const at::Tensor scores = at::matmul(out.queries[i].to(at::kDouble), keys.to(at::kDouble).transpose(2, 3));
      const at::Tensor p = at::softmax((scores * c.attention_scale).masked_fill(open.logical_not(), -INFINITY), -1);
      ASSERT_EQ(out.mass[i].sizes(), (Sizes{kBatch, c.heads, kRows + kSteps}));
      EXPECT_LE(difference(out.mass[i], p.sum(2)), 1e-5) << name;
      EXPECT_LE((out.mass[i].sum(-1) - static_cast<double>(kSteps)).abs().max().item<double>(), 1e-5);
    }
    // Nothing is captured unless asked for, and asking changes nothing.
    in.capture = {};
    const Output plain = decoder->run(in);
    EXPECT_TRUE(at::equal(plain.logits, out.logits));
    EXPECT_TRUE(plain.hidden_states.empty() && plain.attention_inputs.empty() && plain.queries.empty() &&
                plain.kv.empty() && plain.unrotated_keys.empty() && plain.unrotated_queries.empty() &&
                plain.mass.empty());
  }
}

TEST_F(DecoderTest, ExplicitCausalMaskEqualsNone) {
  const auto decoder = tiny_decoder("llama_tied");
  for (const int64_t steps : {1, 4, 20}) {
    const at::Tensor ids = random_ids(2, 7 + steps, decoder->config().vocab, 4);
    Input in = input_of(ids.slice(1, 7));
    in.rows = rows_of(*decoder, ids.slice(1, 0, 7));
    const at::Tensor plain = decoder->run(in).logits;
    in.mask.allowed = at::ones({1, 1, steps, 7 + steps}, at::kBool).tril(7);
    EXPECT_LE(difference(decoder->run(in).logits, plain), 1e-5) << steps;
  }
}

// A hidden row or token is as if it had never been there; the mask may differ between the rows of a batch.
TEST_F(DecoderTest, HiddenColumnsAreAsIfAbsent) {
  for (const char* name : {"llama_tied", "gemma3_scaled"}) {
    const auto decoder = tiny_decoder(name);
    for (const int64_t steps : {1, 6, 15}) {
      const at::Tensor ids = random_ids(1, 8 + steps, decoder->config().vocab, 5).expand({2, -1});
      const auto rows = rows_of(*decoder, ids.slice(1, 0, 8));
      Input in = input_of(ids.slice(1, 8));
      in.rows = rows;
      in.row_positions = {range(0, 8)};
      in.mask.allowed = at::ones({steps, 8 + steps}, at::kBool).tril(8).repeat({2, 1, 1, 1});
      const int64_t hidden[] = {2, 5};
      for (int64_t b = 0; b < 2; ++b) in.mask.allowed[b].select(-1, hidden[b]).fill_(false);
      const at::Tensor masked = decoder->run(in).logits;
      for (int64_t b = 0; b < 2; ++b) {
        std::vector<int64_t> kept;
        for (int64_t i = 0; i < 8; ++i)
          if (i != hidden[b]) kept.push_back(i);
        const at::Tensor index = at::tensor(kept, at::kLong);
        Input without = input_of(ids.slice(0, 0, 1).slice(1, 8));
        without.positions = range(8, 8 + steps);
        without.row_positions = {index.unsqueeze(0)};
        for (const LayerRows& r : rows)
          without.rows.push_back(
              {r.k.slice(0, 0, 1).index_select(2, index), r.v.slice(0, 0, 1).index_select(2, index)});
        EXPECT_LE(difference(masked[b], decoder->run(without).logits[0]), 1e-5) << name << " " << steps;
      }
    }
  }
}

TEST_F(DecoderTest, PaddingMaskLetsAPaddingRowReadItselfOnly) {
  const at::Tensor valid = at::tensor({0, 1, 1, 1, 1, 0}, at::kInt).to(at::kBool).view({2, 3});
  const at::Tensor expected = at::tensor({1, 0, 0, 0, 1, 0, 0, 1, 1, /* second */ 1, 0, 0, 1, 1, 0, 1, 1, 1}, at::kInt)
                                  .to(at::kBool)
                                  .view({2, 1, 3, 3});
  EXPECT_TRUE(at::equal(padding_mask(valid).allowed, expected));
}

// Reading the front from `shift` positions nearer is the same as moving its keys by `shift`.
TEST_F(DecoderTest, FrontEqualsKeysMovedByTheDifference) {
  for (const char* name : {"llama_tied", "qwen3", "mistral_window", "gemma3_scaled"}) {
    const auto decoder = tiny_decoder(name);
    constexpr int64_t kRows = 10, kFront = 4, kAt = 60;
    for (const int64_t steps : {1, 5, 12}) {
      for (const int64_t shift : {0, 7, 50}) {
        const at::Tensor ids = random_ids(1, kRows + steps, decoder->config().vocab, 6);
        // The first rows are from the start of the text, the others from just before the tokens.
        const at::Tensor row_positions = at::cat({range(0, kFront), range(kAt - kRows + kFront, kAt)}, 1);
        const auto rows = rows_of(*decoder, ids.slice(1, 0, kRows), row_positions);
        Input in = input_of(ids.slice(1, kRows));
        in.positions = range(kAt, kAt + steps);
        in.rows = rows;
        in.row_positions = {row_positions};
        in.front = {kFront, in.positions - shift};
        const at::Tensor fronted = decoder->run(in).logits;

        Input moved = in;
        moved.front = {};
        moved.row_positions = {row_positions.clone()};
        moved.row_positions[0].slice(1, 0, kFront) += shift;
        for (size_t i = 0; i < rows.size(); ++i) {
          const at::Tensor front = decoder->rotate(static_cast<int64_t>(i), rows[i].k.slice(2, 0, kFront),
                                                   at::full({1, kFront}, shift, at::kLong));
          moved.rows[i].k = at::cat({front, rows[i].k.slice(2, kFront)}, 2);
        }
        EXPECT_LE(difference(fronted, decoder->run(moved).logits), 2e-5)
            << name << ", " << steps << ", shift " << shift;
        if (shift == 0) {
          in.front = {};
          EXPECT_LE(difference(fronted, decoder->run(in).logits), 2e-5) << name;
        }
      }
    }
  }
}

TEST_F(DecoderTest, SlidingWindowsEqualAnExplicitMask) {
  const auto decoder = tiny_decoder("mistral_window");
  ModelConfig open = decoder->config();
  const int64_t window = open.kinds[0].window;
  ASSERT_EQ(window, 6);
  for (LayerKind& kind : open.kinds) kind.window = 0;
  const Decoder plain(open, decoder->weights(), at::kFloat);
  for (const int64_t steps : {1, 3, 25}) {
    for (const bool extra : {false, true}) {
      const at::Tensor ids = random_ids(1, 11 + steps, open.vocab, 7);
      Input in = input_of(ids.slice(1, 11));
      in.rows = rows_of(*decoder, ids.slice(1, 0, 11));
      in.row_positions = {range(0, 11)};
      const at::Tensor distance = range(11, 11 + steps).view({-1, 1}) - range(0, 11 + steps);
      at::Tensor causal = (distance >= 0).view({1, 1, steps, -1});
      if (extra) {
        causal.select(-1, 9).fill_(false);
        in.mask.allowed = causal;
      }
      const at::Tensor windowed = decoder->run(in).logits;
      in.mask.allowed = causal.logical_and((distance < window).view({1, 1, steps, -1}));
      EXPECT_LE(difference(windowed, plain.run(in).logits), 1e-5) << steps << extra;
    }
  }
}

TEST_F(DecoderTest, InterleavedConversationsKeepTheirBits) {
  for (const bool quantised : {false, true}) {
    const auto decoder = quantised ? quantised_decoder() : tiny_decoder("llama_untied");
    const at::Tensor ids = random_ids(2, 60, decoder->config().vocab, 8);
    const auto part = [&](int64_t who, std::vector<LayerRows>& rows, int64_t begin, int64_t end) {
      Input in = input_of(ids.slice(0, who, who + 1).slice(1, begin, end));
      for (LayerRows& r : rows) r.used = begin;
      in.rows = rows;
      return decoder->run(in).logits;
    };
    constexpr int64_t kCuts[] = {0, 31, 32, 33, 40, 59, 60};
    std::vector<at::Tensor> alone[2], together[2];
    for (int64_t who = 0; who < 2; ++who) {
      auto rows = rows_in_place(*decoder, 60);
      for (int i = 0; i < 6; ++i) alone[who].push_back(part(who, rows, kCuts[i], kCuts[i + 1]));
    }
    std::vector<LayerRows> rows[] = {rows_in_place(*decoder, 60), rows_in_place(*decoder, 60)};
    for (int i = 0; i < 6; ++i)
      for (int64_t who = 0; who < 2; ++who) together[who].push_back(part(who, rows[who], kCuts[i], kCuts[i + 1]));
    for (int64_t who = 0; who < 2; ++who)
      for (size_t i = 0; i < 6; ++i) EXPECT_TRUE(at::equal(alone[who][i], together[who][i])) << who << " " << i;
  }
}

TEST_F(DecoderTest, CallsFromManyThreadsGiveTheSameBits) {
  const auto decoder = quantised_decoder();
  const auto converse = [&](uint64_t seed) {
    const c10::InferenceMode inference;
    const at::Tensor ids = random_ids(1, 40, decoder->config().vocab, seed);
    auto rows = rows_in_place(*decoder, 40);
    std::vector<at::Tensor> logits;
    for (int64_t first = 0; first < 40; first += 5) {
      Input in = input_of(ids.slice(1, first, first + 5));
      for (LayerRows& r : rows) r.used = first;
      in.rows = rows;
      logits.push_back(decoder->run(in).logits);
    }
    return at::cat(logits, 1);
  };
  std::vector<at::Tensor> alone, together(4);
  for (uint64_t i = 0; i < 4; ++i) alone.push_back(converse(i));
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < 4; ++i) threads.emplace_back([&, i] { together[i] = converse(i); });
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(at::equal(alone[i], together[i])) << i;
}

// Steps of few tokens are the same with any number of threads: products of blocks and attention of few queries split
// work by outputs.
TEST_F(DecoderTest, ShortStepsGiveTheSameBitsWithAnyThreads) {
  const int threads = at::get_num_threads();
  for (const auto compute : {at::kFloat, at::kBFloat16}) {
    const auto decoder = quantised_decoder(compute);
    const at::Tensor ids = random_ids(1, 520, decoder->config().vocab, 9);
    const auto rows = rows_of(*decoder, ids.slice(1, 0, 500));
    for (const int64_t steps : {1, 2, 8}) {
      Input in = input_of(ids.slice(1, 500, 500 + steps));
      in.rows = rows;
      at::set_num_threads(1);
      const at::Tensor one = decoder->run(in).logits;
      at::set_num_threads(2);
      EXPECT_TRUE(at::equal(decoder->run(in).logits, one)) << steps;
    }
  }
  at::set_num_threads(threads);
}

// The direct product, the product of a scratch copy and the dense decoder are one computation.
TEST_F(DecoderTest, QuantisedWeightsEqualTheirDenseValues) {
  const auto decoder = quantised_decoder();
  DecoderWeights dense = decoder->weights();
  const auto expand = [](LinearWeight& w) { w = LinearWeight(w.dense(at::kFloat), w.bias()); };
  expand(dense.embedding), expand(dense.head);
  for (LayerWeights& l : dense.layers)
    for (LinearWeight* w : {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down}) expand(*w);
  const Decoder reference(decoder->config(), dense, at::kFloat);
  for (const int64_t steps : {1, 7, 24, 25, 100}) {
    const at::Tensor ids = random_ids(1, steps, decoder->config().vocab, 10);
    EXPECT_LE(difference(decoder->run(input_of(ids)).logits, reference.run(input_of(ids)).logits), 3e-5) << steps;
  }
}

TEST_F(DecoderTest, Bf16StaysNearF32) {
  for (const std::string& name : tiny_names()) {
    const auto f32 = tiny_decoder(name), bf16 = tiny_decoder(name, at::kBFloat16);
    const at::Tensor ids = random_ids(1, 24, f32->config().vocab, 11);
    const at::Tensor expected = f32->run(input_of(ids)).logits, actual = bf16->run(input_of(ids)).logits;
    EXPECT_EQ(actual.scalar_type(), at::kFloat);
    // Eight bits of mantissa through a few random layers: a few percent, but the same function.
    EXPECT_LE(((actual - expected).norm() / expected.norm()).item<double>(), 0.05) << name;
  }
  // Quantised weights: one step takes eight-bit activations where the processor can, long chunks bf16.
  const auto f32 = quantised_decoder(), bf16 = quantised_decoder(at::kBFloat16);
  for (const int64_t steps : {1, 8, 60}) {
    const at::Tensor ids = random_ids(1, steps, f32->config().vocab, 12);
    const at::Tensor expected = f32->run(input_of(ids)).logits, actual = bf16->run(input_of(ids)).logits;
    EXPECT_LE(((actual - expected).norm() / expected.norm()).item<double>(), 0.05) << steps << " tokens";
  }
}

}  // namespace
}  // namespace steno
