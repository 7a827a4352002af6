// The decoder against transformers in f32, on tests/data/tiny_models and on the default model.
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "io/safetensors.h"
#include "model/attention.h"
#include "model/model_test_util.h"

namespace steno {
namespace {

using namespace test;
namespace fs = std::filesystem;

constexpr double kTolerance = 1e-4;  // of the largest |logit|

std::shared_ptr<const SafetensorsFile> golden_of(const std::string& name) {
  return SafetensorsFile::open(tiny_folder(name) / "golden.safetensors");
}

// Dynamic scaling turns every key by the length of the text that it is read with, so that pieces are equal to the whole
// by definition only within the original length.
int64_t comparable_length(const ModelConfig& config, int64_t length) {
  return config.rope.scaling == RopeScaling::dynamic ? std::min(length, config.rope.original_max_positions) : length;
}

struct Case {
  std::string model, form;  // form: "hf", "hf_v4" (config.json as transformers 4 wrote it), "gguf"
};

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const std::string& name : tiny_names()) {
    cases.push_back({name, "hf"});
    if (fs::exists(tiny_folder(name) / "config_v4.json")) cases.push_back({name, "hf_v4"});
    if (fs::exists(tiny_folder(name) / "model.gguf")) cases.push_back({name, "gguf"});
  }
  return cases;
}

std::shared_ptr<const Decoder> load_case(const Case& c) {
  const LoadOptions f32{.dtype = at::kFloat};
  if (c.form == "gguf") return load_decoder(tiny_folder(c.model) / "model.gguf", f32);
  if (c.form == "hf") return load_decoder(tiny_folder(c.model), f32);
  const TemporaryFolder folder;
  link_tiny(folder, c.model);
  fs::remove(folder.path() / "config.json");
  fs::copy(tiny_folder(c.model) / "config_v4.json", folder.path() / "config.json");
  return load_decoder(folder.path(), f32);
}

class TinyParity : public testing::TestWithParam<Case> {
 protected:
  c10::InferenceMode inference_;
  std::shared_ptr<const Decoder> decoder_ = load_case(GetParam());
  std::shared_ptr<const SafetensorsFile> golden_ = golden_of(GetParam().model);

  std::vector<at::Tensor> sequences() const {  // [1, T] each
    std::vector<at::Tensor> result;
    for (int i = 0; golden_->has(fmt::format("ids.{}", i)); ++i)
      result.push_back(golden_->tensor(fmt::format("ids.{}", i)).unsqueeze(0));
    return result;
  }
  at::Tensor golden(const std::string& key, size_t i) const { return golden_->tensor(fmt::format("{}.{}", key, i)); }
};

TEST_P(TinyParity, LogitsEqualTransformers) {
  const auto all = sequences();
  ASSERT_EQ(all.size(), 3u);
  for (size_t i = 0; i < all.size(); ++i) {
    const Output out = decoder_->run(input_of(all[i]));
    EXPECT_LE(difference(out.logits[0], golden("logits", i)), kTolerance) << all[i].size(1) << " tokens";
    const Output last = decoder_->run(input_of(all[i], LogitRows::last));
    EXPECT_LE(difference(last.logits[0], golden("logits", i).slice(0, -1)), kTolerance);
    EXPECT_FALSE(decoder_->run(input_of(all[i], LogitRows::none)).logits.defined());
  }
}

TEST_P(TinyParity, GreedyContinuationsEqualTransformers) {
  const auto all = sequences();
  for (size_t i = 0; i < all.size(); ++i) {
    const at::Tensor expected = golden("greedy", i);
    at::Tensor ids = all[i].clone();
    for (int64_t step = 0; step < expected.size(0); ++step) {
      const at::Tensor best = decoder_->run(input_of(ids, LogitRows::last)).logits.argmax(-1);
      ASSERT_EQ(best.item<int64_t>(), expected[step].item<int64_t>()) << "sequence " << i << ", step " << step;
      ids = at::cat({ids, best}, 1);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, TinyParity, testing::ValuesIn(all_cases()),
                         [](const auto& info) { return info.param.model + "_" + info.param.form; });

class TinyChunks : public testing::TestWithParam<std::string> {
 protected:
  c10::InferenceMode inference_;
  std::shared_ptr<const Decoder> decoder_ = tiny_decoder(GetParam());
  std::shared_ptr<const SafetensorsFile> golden_ = golden_of(GetParam());
  int64_t length_ = comparable_length(decoder_->config(), golden_->tensor("ids.2").size(0));
  at::Tensor ids_ = golden_->tensor("ids.2").slice(0, 0, length_).unsqueeze(0);
  // Where the sequence is shortened, the golden logits are of another text.
  at::Tensor expected_ = length_ == golden_->tensor("ids.2").size(0) ? golden_->tensor("logits.2")
                                                                     : decoder_->run(input_of(ids_)).logits[0];

  // Calls read(ids of the chunk, tokens before it) -> logits for every chunk and compares all of them.
  void check(const std::function<std::function<at::Tensor(const at::Tensor&, int64_t)>()>& reader) const {
    for (const int64_t chunk : {length_, int64_t{16}, int64_t{9}, int64_t{5}, int64_t{1}}) {
      const auto read = reader();
      std::vector<at::Tensor> logits;
      for (int64_t first = 0; first < length_; first += chunk)
        logits.push_back(read(ids_.slice(1, first, std::min(first + chunk, length_)), first)[0]);
      EXPECT_LE(difference(at::cat(logits), expected_), kTolerance) << "chunks of " << chunk;
    }
  }
  static at::Tensor positions(int64_t begin, int64_t end) { return at::arange(begin, end, at::kLong).unsqueeze(0); }
};

TEST_P(TinyChunks, RowsInPlace) {
  check([&] {
    return [&, rows = rows_in_place(*decoder_, length_)](const at::Tensor& ids, int64_t first) mutable {
      for (LayerRows& r : rows) r.used = first;
      Input in = input_of(ids);
      in.rows = rows;
      in.row_positions = {positions(0, first)};
      return decoder_->run(in).logits;
    };
  });
}

TEST_P(TinyChunks, RowsConcatenated) {
  check([&] {
    return [&, rows = std::vector<LayerRows>()](const at::Tensor& ids, int64_t first) mutable {
      Input in = input_of(ids);
      in.rows = rows;
      in.row_positions = {positions(0, first)};
      in.capture.kv = true;
      const Output out = decoder_->run(in);
      for (size_t layer = 0; layer < out.kv.size(); ++layer) {
        if (rows.size() <= layer)
          rows.push_back({out.kv[layer].k, out.kv[layer].v});
        else
          rows[layer] = {at::cat({rows[layer].k, out.kv[layer].k}, 2), at::cat({rows[layer].v, out.kv[layer].v}, 2)};
      }
      return out.logits;
    };
  });
}

// A loop of the caller's own over the steps that run() is made of.
TEST_P(TinyChunks, LoopOverBlockSteps) {
  const ModelConfig& config = decoder_->config();
  check([&] {
    return [&, kept = std::vector<LayerKv>(static_cast<size_t>(config.layers))](const at::Tensor& ids,
                                                                                int64_t first) mutable {
      const int64_t end = first + ids.size(1);
      const at::Tensor own = positions(first, end);
      const at::Tensor distance = own.view({-1, 1}) - positions(0, end);
      at::Tensor x = decoder_->embed(ids);
      for (int64_t layer = 0; layer < config.layers; ++layer) {
        const Projected p = decoder_->project(layer, decoder_->attention_input(layer, x), nullptr);
        LayerKv& rows = kept[static_cast<size_t>(layer)];
        const at::Tensor k = decoder_->rotate(layer, p.k, own);
        rows.k = rows.k.defined() ? at::cat({rows.k, k}, 2) : k;
        rows.v = rows.v.defined() ? at::cat({rows.v, p.v}, 2) : p.v;
        const int64_t window = config.kinds[static_cast<size_t>(layer)].window;
        at::Tensor allowed = distance >= 0;
        if (window > 0) allowed = allowed.logical_and(distance < window);
        const AttentionInput a{.q = decoder_->rotate(layer, p.q, own),
                               .k = rows.k,
                               .v = rows.v,
                               .allowed = allowed.unsqueeze(0).unsqueeze(0),
                               .scale = config.attention_scale};
        x = decoder_->finish(layer, x, attend(a), nullptr);
      }
      return decoder_->head(decoder_->final_norm(x));
    };
  });
}

// What goes through a row of padding must not reach the others.
TEST_P(TinyChunks, PaddingOnEitherSideChangesNothing) {
  const int64_t width = length_, steps = width - 5;
  const at::Tensor ids = ids_.slice(1, 0, steps);
  const at::Tensor alone = decoder_->run(input_of(ids)).logits[0];
  for (const bool left : {true, false}) {
    const int64_t first = left ? width - steps : 0;
    at::Tensor padded = at::zeros({2, width}, at::kLong), valid = at::zeros({2, width}, at::kBool);
    padded[0].copy_(ids_[0]);
    valid[0].fill_(true);
    padded[1].slice(0, first, first + steps).copy_(ids[0]);
    valid[1].slice(0, first, first + steps).fill_(true);
    const at::Tensor positions = (valid.to(at::kLong).cumsum(1) - 1).clamp_min(0);
    Input in = input_of(padded);
    in.positions = positions;
    in.mask = padding_mask(valid);
    const Output out = decoder_->run(in);
    EXPECT_LE(difference(out.logits[0], expected_), kTolerance);
    EXPECT_LE(difference(out.logits[1].slice(0, first, first + steps), alone), kTolerance) << (left ? "left" : "right");
    EXPECT_FALSE(out.logits.isnan().any().item<bool>());
  }
}

INSTANTIATE_TEST_SUITE_P(All, TinyChunks, testing::ValuesIn(tiny_names()), [](const auto& info) { return info.param; });

TEST(Parity, PaddedBatchesEqualTransformers) {
  const c10::InferenceMode inference;
  int compared = 0;
  for (const std::string& name : tiny_names()) {
    const auto golden = golden_of(name);
    for (const std::string side : {"batch_left.", "batch_right."}) {
      if (!golden->has(side + "ids")) continue;
      const at::Tensor valid = golden->tensor(side + "mask").to(at::kBool), logits = golden->tensor(side + "logits");
      const at::Tensor positions = (valid.to(at::kLong).cumsum(1) - 1).clamp_min(0);
      Input in = input_of(golden->tensor(side + "ids"));
      in.positions = positions;
      in.mask = padding_mask(valid);
      const Output out = tiny_decoder(name)->run(in);
      EXPECT_LE(difference(out.logits * valid.unsqueeze(-1), logits), kTolerance) << name << " " << side;
      ++compared;
    }
  }
  EXPECT_EQ(compared, 2);
}

TEST(Parity, HiddenStatesEqualTransformers) {
  const c10::InferenceMode inference;
  int compared = 0;
  for (const std::string& name : tiny_names()) {
    const auto golden = golden_of(name);
    for (int i = 0; i < 3; ++i) {
      const std::string key = fmt::format("hidden.{}", i);
      if (!golden->has(key)) continue;
      const at::Tensor expected = golden->tensor(key);  // [layers + 1, T, d], the last after the final norm
      const auto decoder = tiny_decoder(name);
      Input in = input_of(golden->tensor(fmt::format("ids.{}", i)).unsqueeze(0));
      in.capture.hidden = true;
      const Output out = decoder->run(in);
      const int64_t layers = decoder->config().layers;
      ASSERT_EQ(static_cast<int64_t>(out.hidden_states.size()), layers + 1);
      for (int64_t layer = 0; layer < layers; ++layer)
        EXPECT_LE(difference(out.hidden_states[static_cast<size_t>(layer)][0], expected[layer]), kTolerance);
      EXPECT_LE(difference(out.hidden[0], expected[layers]), kTolerance);
      EXPECT_TRUE(at::equal(decoder->final_norm(out.hidden_states.back()), out.hidden));
      ++compared;
    }
  }
  EXPECT_EQ(compared, 2);
}

// The default model in f32: sixteen prompts of up to 2,048 tokens.
class DefaultModel : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const char* named = std::getenv("STENO_MODEL");
    const fs::path path =
        named && *named ? fs::path(named) : fs::path(STENO_SOURCE_DIR) / "models/SmolLM2-135M-Instruct.Q4_1.gguf";
    if (fs::exists(path)) decoder_ = load_decoder(path, {.dtype = at::kFloat});
  }
  static void TearDownTestSuite() { decoder_.reset(); }
  void SetUp() override {
    if (!decoder_) GTEST_SKIP() << "the default model is absent; 'make model' fetches it, or set STENO_MODEL";
  }
  static std::shared_ptr<const Decoder> decoder_;
};
std::shared_ptr<const Decoder> DefaultModel::decoder_;

TEST_F(DefaultModel, LogitsAndContinuationsEqualTransformers) {
  const c10::InferenceMode inference;
  const fs::path data = fs::path(STENO_SOURCE_DIR) / "tests/data";
  const auto golden = SafetensorsFile::open(data / "default_model_golden.safetensors");
  const auto notes = nlohmann::json::parse(read_bytes(data / "default_model_golden.json"));
  const auto stride = notes["stride"].get<int64_t>();
  ASSERT_EQ(notes["prompts"].size(), 16u);
  double worst = 0;
  for (const auto& [name, prompt] : notes["prompts"].items()) {
    const auto value = [&, &name = name](const char* key) { return golden->tensor(name + "." + key); };
    const at::Tensor ids = value("ids").to(at::kLong).unsqueeze(0), positions = value("positions");
    const at::Tensor greedy = value("greedy").to(at::kLong);
    const int64_t length = ids.size(1), steps = greedy.size(0);
    ASSERT_EQ(length, prompt["tokens"].get<int64_t>());

    Input in = input_of(ids, LogitRows::none);
    in.rows = rows_in_place(*decoder_, length + steps);
    const at::Tensor hidden = decoder_->run(in).hidden;
    const at::Tensor logits = decoder_->head(hidden.index_select(1, positions))[0];
    const double scale = logits.abs().max().item<double>();
    const auto error = [&](const at::Tensor& actual, const at::Tensor& expected) {
      return (actual.to(at::kDouble) - expected.to(at::kDouble)).abs().max().item<double>() / scale;
    };
    for (const double e : {error(logits.slice(1, 0, at::nullopt, stride), value("logits")),
                           error(logits.amax(-1), value("max")), error(logits.logsumexp(-1), value("logsumexp"))}) {
      EXPECT_LE(e, kTolerance) << name;
      worst = std::max(worst, e);
    }
    EXPECT_TRUE(at::equal(logits.argmax(-1), value("argmax"))) << name;

    // From a step on whose two best logits are closer than rounding, another order of summation may go on otherwise.
    const auto uncertain = prompt["uncertain_steps"].get<std::vector<int64_t>>();
    const int64_t certain = uncertain.empty() ? steps : uncertain[0];
    int64_t next = logits[-1].argmax().item<int64_t>();
    for (int64_t step = 0; step < certain; ++step) {
      ASSERT_EQ(next, greedy[step].item<int64_t>()) << name << ", step " << step;
      for (LayerRows& r : in.rows) r.used = length + step;
      in.ids = as_ids({next});
      in.logits = LogitRows::last;
      next = decoder_->run(in).logits.argmax().item<int64_t>();
    }
  }
  RecordProperty("worst", fmt::format("{:.2e}", worst));
  fmt::print("largest error over 16 prompts: {:.2e} of the largest logit\n", worst);
}

}  // namespace
}  // namespace steno
