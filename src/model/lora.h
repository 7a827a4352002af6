// LoRA adapter sets (arXiv 2106.09685): y += scaling * B A dropout(x) beside a frozen linear layer. A set is switched
// on per call (Input::adapters), so that one copy of the base serves any number of adapters.
#pragma once
#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "model/config.h"

namespace steno {

// The linear layers of a block, in PEFT's names: q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj.
enum class Target { q, k, v, o, gate, up, down };
inline constexpr int kTargets = 7;
const char* target_name(Target target);
Target target_named(const std::string& name);  // throws InputError that lists the names

struct LoraPair {
  at::Tensor a;  // [rank, in]
  at::Tensor b;  // [out, rank]
  bool defined() const { return a.defined(); }
};

struct LoraConfig {
  int64_t rank = 8;
  double alpha = 16;
  double dropout = 0;  // on the adapter's input; active only while gradients are recorded
  bool rank_stabilized = false;
  std::vector<Target> targets = {Target::q, Target::v};

  double scaling() const;  // alpha / rank, or alpha / sqrt(rank) when rank_stabilized
};

// Tensors are shared, not copied, when a set is copied.
class AdapterSet {
 public:
  // A ~ Kaiming uniform (as PEFT), B = 0: the model is unchanged until training moves B. f32, requires_grad off.
  static AdapterSet create(const ModelConfig& model, const LoraConfig& config, uint64_t seed);
  // PEFT layout: adapter_config.json + adapter_model.safetensors. Throws InputError (shapes that do not fit `model`,
  // unknown targets, options that steno does not implement such as DoRA or per-module ranks).
  static AdapterSet load(const std::filesystem::path& folder, const ModelConfig& model);
  void save(const std::filesystem::path& folder, const std::string& base_model_name) const;

  const LoraConfig& config() const { return config_; }
  const LoraPair& pair(int64_t layer, Target target) const { return pairs_[layer][static_cast<int>(target)]; }
  LoraPair& pair(int64_t layer, Target target) { return pairs_[layer][static_cast<int>(target)]; }
  int64_t layers() const { return static_cast<int64_t>(pairs_.size()); }
  // Name (PEFT's, without the ".default" part) and tensor of everything trainable, in a fixed order.
  std::vector<std::pair<std::string, at::Tensor>> named_parameters() const;

 private:
  LoraConfig config_;
  std::vector<std::array<LoraPair, kTargets>> pairs_;  // [layers][target]
};

// Width of a target layer.
int64_t target_in(const ModelConfig& model, Target target);
int64_t target_out(const ModelConfig& model, Target target);

// y + scaling * ((dropout(x) A^T) B^T); y unchanged when the pair is undefined. x [.., in], y [.., out].
at::Tensor add_lora(const at::Tensor& y, const at::Tensor& x, const LoraPair& pair, const LoraConfig& config);

}  // namespace steno
