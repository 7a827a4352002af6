#include "model/lora.h"

#include <c10/core/GradMode.h>

#include <cmath>

#include "base/error.h"
#include "base/random.h"
#include "io/shown.h"

namespace steno {
namespace {

constexpr const char* kNames[kTargets] = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};

}  // namespace

const char* target_name(Target target) { return kNames[static_cast<int>(target)]; }

Target target_named(const std::string& name) {
  std::string known;
  for (int i = 0; i < kTargets; ++i) {
    if (name == kNames[i]) return static_cast<Target>(i);
    known += (i ? ", " : "") + std::string(kNames[i]);
  }
  throw InputError("[lora] unknown target module '{}'; known: {}", shown(name), known);
}

int64_t target_in(const ModelConfig& model, Target target) {
  if (target == Target::o) return model.heads * model.d_h;
  return target == Target::down ? model.d_ff : model.d_model;
}

int64_t target_out(const ModelConfig& model, Target target) {
  switch (target) {
    case Target::q:
      return model.heads * model.d_h;
    case Target::k:
    case Target::v:
      return model.kv_heads * model.d_h;
    case Target::o:
    case Target::down:
      return model.d_model;
    case Target::gate:
    case Target::up:
      return model.d_ff;
  }
  return 0;
}

double LoraConfig::scaling() const {
  return rank_stabilized ? alpha / std::sqrt(static_cast<double>(rank)) : alpha / static_cast<double>(rank);
}

AdapterSet AdapterSet::create(const ModelConfig& model, const LoraConfig& config, uint64_t seed) {
  AdapterSet set;
  set.config_ = config;
  set.pairs_.resize(static_cast<size_t>(model.layers));
  Random random(seed);
  for (auto& layer : set.pairs_) {
    for (const Target target : config.targets) {
      const int64_t in = target_in(model, target);
      // Kaiming uniform with a = sqrt(5): bound sqrt(6 / ((1 + 5) in)).
      const double bound = 1 / std::sqrt(static_cast<double>(in));
      const at::Tensor a = at::empty({config.rank, in}, at::kFloat);
      float* values = a.mutable_data_ptr<float>();
      for (int64_t i = 0; i < a.numel(); ++i) values[i] = static_cast<float>((2 * random.uniform() - 1) * bound);
      layer[static_cast<size_t>(target)] = {a, at::zeros({target_out(model, target), config.rank}, at::kFloat)};
    }
  }
  return set;
}

std::vector<std::pair<std::string, at::Tensor>> AdapterSet::named_parameters() const {
  std::vector<std::pair<std::string, at::Tensor>> parameters;
  for (size_t layer = 0; layer < pairs_.size(); ++layer) {
    for (int i = 0; i < kTargets; ++i) {
      const LoraPair& pair = pairs_[layer][static_cast<size_t>(i)];
      if (!pair.defined()) continue;
      const char* part = i < 4 ? "self_attn" : "mlp";
      const std::string base = fmt::format("base_model.model.model.layers.{}.{}.{}", layer, part, kNames[i]);
      parameters.emplace_back(base + ".lora_A.weight", pair.a);
      parameters.emplace_back(base + ".lora_B.weight", pair.b);
    }
  }
  return parameters;
}

at::Tensor add_lora(const at::Tensor& y, const at::Tensor& x, const LoraPair& pair, const LoraConfig& config) {
  if (!pair.defined()) return y;
  const at::ScalarType type = y.scalar_type();
  at::Tensor input = x.to(type);
  if (config.dropout > 0 && c10::GradMode::is_enabled()) input = at::dropout(input, config.dropout, true);
  return y + at::linear(at::linear(input, pair.a.to(type)), pair.b.to(type)) * config.scaling();
}

}  // namespace steno
