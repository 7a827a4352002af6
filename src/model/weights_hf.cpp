// Hugging Face's tensor names (transformers, modeling_llama.py and its kin).
#include <fmt/ranges.h>

#include "base/error.h"
#include "io/safetensors.h"
#include "model/weights.h"

namespace steno {
namespace {

class Source {
 public:
  Source(std::shared_ptr<const SafetensorsFile> file, const LoadOptions& options, bool norm_plus_one)
      : file_(std::move(file)), options_(options), norm_plus_one_(norm_plus_one) {}

  bool has(const std::string& name) const { return file_->has(name); }
  at::Tensor tensor(const std::string& name, std::initializer_list<int64_t> shape) const {
    if (!file_->has(name)) throw InputError("[safetensors] {}: tensor '{}' is missing", file_->path().string(), name);
    at::Tensor t = file_->tensor(name);
    if (t.sizes() != at::IntArrayRef(shape.begin(), shape.size()))
      throw InputError("[safetensors] {}: tensor '{}' has shape [{}], expected [{}]", file_->path().string(), name,
                       fmt::join(t.sizes(), ", "), fmt::join(shape, ", "));
    if (!t.is_floating_point() || t.element_size() < 2)
      throw InputError("[safetensors] {}: tensor '{}' is {}; weights are read as F32, F16 or BF16",
                       file_->path().string(), name, toString(t.scalar_type()));
    return t;
  }
  at::Tensor norm(const std::string& name, int64_t size) const {
    const at::Tensor w = tensor(name, {size}).to(at::kFloat).to(options_.device);
    return norm_plus_one_ ? w + 1 : w.clone();
  }
  LinearWeight linear(const std::string& prefix, int64_t out, int64_t in) {
    const at::Tensor stored = tensor(prefix + ".weight", {out, in});
    bytes_[stored.scalar_type()] += static_cast<int64_t>(stored.nbytes());
    at::Tensor bias;
    if (has(prefix + ".bias")) bias = tensor(prefix + ".bias", {out}).to(at::kFloat).to(options_.device);
    return LinearWeight(stored.to(options_.dtype).to(options_.device), bias);
  }
  std::string main_format() const {
    at::ScalarType best = at::kFloat;
    int64_t most = -1;
    for (const auto& [type, bytes] : bytes_)
      if (bytes > most) best = type, most = bytes;
    return best == at::kFloat ? "F32" : best == at::kBFloat16 ? "BF16" : best == at::kHalf ? "F16" : toString(best);
  }

 private:
  std::shared_ptr<const SafetensorsFile> file_;
  LoadOptions options_;
  bool norm_plus_one_;
  std::map<at::ScalarType, int64_t> bytes_;
};

std::filesystem::path find_weights(const std::filesystem::path& folder) {
  for (const char* name : {"model.safetensors", "model.safetensors.index.json"})
    if (std::filesystem::exists(folder / name)) return folder / name;
  throw InputError("'{}' holds neither model.safetensors nor model.safetensors.index.json", folder.string());
}

}  // namespace

WeightSet weights_from_hf(const std::filesystem::path& folder, const LoadOptions& options) {
  WeightSet set;
  set.config = config_from_hf(folder / "config.json");
  ModelConfig& c = set.config;
  Source source(SafetensorsFile::open(find_weights(folder)), options, c.norm_plus_one);
  const int64_t q_out = c.heads * c.d_h, kv_out = c.kv_heads * c.d_h;
  set.weights.embedding = source.linear("model.embed_tokens", c.vocab, c.d_model);
  for (int64_t i = 0; i < c.layers; ++i) {
    const std::string p = fmt::format("model.layers.{}.", i);
    LayerWeights w;
    w.attention_norm = source.norm(p + "input_layernorm.weight", c.d_model);
    if (c.sandwich_norm) {
      w.post_attention_norm = source.norm(p + "post_attention_layernorm.weight", c.d_model);
      w.mlp_norm = source.norm(p + "pre_feedforward_layernorm.weight", c.d_model);
      w.post_mlp_norm = source.norm(p + "post_feedforward_layernorm.weight", c.d_model);
    } else {
      w.mlp_norm = source.norm(p + "post_attention_layernorm.weight", c.d_model);
    }
    if (c.qk_norm) {
      w.q_norm = source.norm(p + "self_attn.q_norm.weight", c.d_h);
      w.k_norm = source.norm(p + "self_attn.k_norm.weight", c.d_h);
    }
    if (source.has(p + "self_attn.qkv_proj.weight")) {  // Phi-3
      const LinearWeight qkv = source.linear(p + "self_attn.qkv_proj", q_out + 2 * kv_out, c.d_model);
      w.q = qkv.rows(0, q_out);
      w.k = qkv.rows(q_out, kv_out);
      w.v = qkv.rows(q_out + kv_out, kv_out);
    } else {
      w.q = source.linear(p + "self_attn.q_proj", q_out, c.d_model);
      w.k = source.linear(p + "self_attn.k_proj", kv_out, c.d_model);
      w.v = source.linear(p + "self_attn.v_proj", kv_out, c.d_model);
    }
    w.o = source.linear(p + "self_attn.o_proj", c.d_model, q_out);
    if (source.has(p + "mlp.gate_up_proj.weight")) {
      const LinearWeight both = source.linear(p + "mlp.gate_up_proj", 2 * c.d_ff, c.d_model);
      w.gate = both.rows(0, c.d_ff);
      w.up = both.rows(c.d_ff, c.d_ff);
    } else {
      w.gate = source.linear(p + "mlp.gate_proj", c.d_ff, c.d_model);
      w.up = source.linear(p + "mlp.up_proj", c.d_ff, c.d_model);
    }
    w.down = source.linear(p + "mlp.down_proj", c.d_model, c.d_ff);
    set.weights.layers.push_back(std::move(w));
  }
  set.weights.final_norm = source.norm("model.norm.weight", c.d_model);
  c.tied_head = c.tied_head || !source.has("lm_head.weight");
  set.weights.head = c.tied_head ? set.weights.embedding : source.linear("lm_head", c.vocab, c.d_model);
  set.format = source.main_format();
  return set;
}

}  // namespace steno
