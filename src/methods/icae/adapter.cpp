#include "methods/icae/adapter.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>
#include <fmt/ranges.h>

#include <cmath>
#include <numbers>

#include "base/error.h"
#include "base/random.h"
#include "io/file_hash.h"
#include "memory/stream_frame.h"
#include "model/identity.h"

namespace steno::icae {
namespace {

// Box and Muller: two uniform numbers give one normal one here, the other is left.
float normal(Random& random) {
  const double radius = std::sqrt(-2 * std::log(1 - random.uniform()));
  return static_cast<float>(radius * std::cos(2 * std::numbers::pi * random.uniform()));
}

struct Moments {
  at::Tensor mean, deviation;  // [d] f32
};

Moments embedding_moments(const Decoder& decoder) {
  const ModelConfig& c = decoder.config();
  at::Tensor sum = at::zeros({c.d_model}, at::kDouble), squares = sum.clone();
  for (int64_t begin = 0; begin < c.vocab; begin += 4096) {
    const at::Tensor ids = at::arange(begin, std::min(begin + 4096, c.vocab), at::kLong).unsqueeze(0);
    const at::Tensor rows = decoder.embed(ids.to(decoder.device()))[0].to(at::kCPU, at::kDouble);
    sum += rows.sum(0);
    squares += rows.square().sum(0);
  }
  const at::Tensor mean = sum / static_cast<double>(c.vocab);
  const at::Tensor variance = squares / static_cast<double>(c.vocab) - mean.square();
  return {mean.to(at::kFloat), variance.clamp_min(0).sqrt().to(at::kFloat)};
}

at::Tensor uniform(at::IntArrayRef shape, double bound, Random& random) {
  const at::Tensor t = at::empty(shape, at::kFloat);
  float* values = t.mutable_data_ptr<float>();
  for (int64_t i = 0; i < t.numel(); ++i) values[i] = static_cast<float>((2 * random.uniform() - 1) * bound);
  return t;
}

}  // namespace

TableInit table_init_named(const std::string& name) {
  if (name == "embedding") return TableInit::embedding;
  if (name == "normal") return TableInit::normal;
  throw UsageError("[icae] init is '{}'; it is 'embedding' or 'normal'", name);
}

std::vector<std::pair<std::string, at::Tensor>> Adapter::named_parameters() const {
  auto parameters = lora.named_parameters();
  parameters.emplace_back("embeddings", embeddings);
  if (head.defined()) {
    parameters.emplace_back("memory_head.in.weight", head.in_weight);
    parameters.emplace_back("memory_head.in.bias", head.in_bias);
    parameters.emplace_back("memory_head.out.weight", head.out_weight);
    parameters.emplace_back("memory_head.out.bias", head.out_bias);
  }
  return parameters;
}

std::string Adapter::hash() const {
  const c10::InferenceMode inference;
  std::map<std::string, std::string> text = field_values(settings);
  const LoraConfig& c = lora.config();
  text["lora"] = fmt::format("{} {} {}", c.rank, c.alpha, c.rank_stabilized);
  for (const auto& [name, hash] : base) text["base." + name] = hash;
  return stream_checksum(text, named_parameters());
}

std::string fingerprint(const Decoder& decoder) {
  const c10::InferenceMode inference;
  const ModelConfig& c = decoder.config();
  std::string text = fmt::format("{} {} {} {} {} {} {} {} {} {}\n", c.layers, c.d_model, c.heads, c.kv_heads, c.d_h,
                                 c.d_ff, c.vocab, c.attention_scale, c.embedding_scale, hash_rope(c));
  const auto add = [&](const at::Tensor& t, at::ScalarType type) {
    if (!t.defined()) return;
    const at::Tensor data = t.to(at::kCPU, type).contiguous();
    text += hash_bytes({static_cast<const char*>(data.const_data_ptr()), data.nbytes()}) + "\n";
  };
  const auto rows = [&](const LinearWeight& w) {
    add(w.rows(0, std::min<int64_t>(4, w.out())).dense(at::kBFloat16), at::kBFloat16);
  };
  const DecoderWeights& w = decoder.weights();
  rows(w.embedding);
  rows(w.head);
  add(w.final_norm, at::kFloat);
  for (const LayerWeights& l : w.layers) {
    for (const at::Tensor& norm : {l.attention_norm, l.mlp_norm, l.q_norm, l.k_norm}) add(norm, at::kFloat);
    for (const LinearWeight* part : {&l.q, &l.v, &l.down}) rows(*part);
  }
  return hash_bytes(text);
}

Adapter create_adapter(const Model& model, const Settings& settings, const LoraConfig& lora, TableInit init,
                       uint64_t seed) {
  const at::NoGradGuard no_grad;
  const Decoder& decoder = *model.decoder;
  const int64_t d = decoder.config().d_model;
  Adapter adapter;
  adapter.settings = settings;
  adapter.lora = AdapterSet::create(decoder.config(), lora, seed);
  for (int64_t layer = 0; layer < adapter.lora.layers(); ++layer) {
    for (const Target target : lora.targets) {
      LoraPair& pair = adapter.lora.pair(layer, target);
      pair = {pair.a.to(decoder.device()), pair.b.to(decoder.device())};
    }
  }
  Random random(seed ^ 0xE3B0C44298FC1C14ull);
  at::Tensor table = at::empty({settings.k + 3, d}, at::kFloat);
  float* values = table.mutable_data_ptr<float>();
  for (int64_t i = 0; i < table.numel(); ++i) values[i] = normal(random);
  if (init == TableInit::embedding) {
    const Moments moments = embedding_moments(decoder);
    table = table * moments.deviation + moments.mean;
  }
  adapter.embeddings = table.to(decoder.device());
  if (settings.memory_head) {
    const double bound = 1 / std::sqrt(static_cast<double>(d));  // the framework's default for linear layers
    const auto draw = [&](at::IntArrayRef shape) { return uniform(shape, bound, random).to(decoder.device()); };
    adapter.head.in_weight = draw({d, d});
    adapter.head.in_bias = draw({d});
    adapter.head.out_weight = draw({d, d});
    adapter.head.out_bias = draw({d});
  }
  adapter.base_name = model.name;
  if (!model.path.empty()) adapter.base = identity_of(model);
  adapter.base["decoder"] = fingerprint(decoder);
  return adapter;
}

}  // namespace steno::icae
