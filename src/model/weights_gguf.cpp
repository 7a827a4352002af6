// llama.cpp's tensor names (gguf-py/gguf/constants.py).
#include <fmt/ranges.h>

#include "base/error.h"
#include "io/gguf.h"
#include "model/weights.h"

namespace steno {
namespace {

class Source {
 public:
  Source(std::shared_ptr<const GgufFile> file, const LoadOptions& options)
      : file_(std::move(file)), options_(options) {}

  const GgufTensor& tensor(const std::string& name, std::initializer_list<int64_t> shape) const {
    const GgufTensor* t = file_->find_tensor(name);
    if (!t) throw InputError("[gguf] {}: tensor '{}' is missing", file_->path().string(), name);
    if (!std::equal(t->shape.begin(), t->shape.end(), shape.begin(), shape.end()))
      throw InputError("[gguf] {}: tensor '{}' has shape [{}], expected [{}]", file_->path().string(), name,
                       fmt::join(t->shape, ", "), fmt::join(shape, ", "));
    try {
      check_scales(*t);
    } catch (const InputError& error) {
      constexpr std::string_view kPrefix = "[gguf] ";
      throw InputError("{}{}: {}", kPrefix, file_->path().string(),
                       std::string_view(error.what()).substr(kPrefix.size()));
    }
    return *t;
  }
  bool has(const std::string& name) const { return file_->find_tensor(name) != nullptr; }

  at::Tensor vector(const std::string& name, int64_t size) const {
    return dequantize(tensor(name, {size}), at::kFloat).to(options_.device);
  }
  at::Tensor vector_or_none(const std::string& name, int64_t size) const {
    return has(name) ? vector(name, size) : at::Tensor();
  }
  // `prefix`.weight and, where there is one, `prefix`.bias.
  LinearWeight linear(const std::string& prefix, int64_t out, int64_t in) {
    const GgufTensor& t = tensor(prefix + ".weight", {out, in});
    bytes_[t.type] += static_cast<int64_t>(t.data.size());
    const at::Tensor bias = vector_or_none(prefix + ".bias", out);
    const bool narrow = ggml_traits(t.type).block_values > 1;
    if (narrow && options_.keep_quantised && options_.device.is_cpu())
      return LinearWeight(t.type, out, in, t.data.data(), file_, bias);
    if (t.type == GgmlType::F32 && options_.dtype == at::kFloat && options_.device.is_cpu() &&
        reinterpret_cast<uintptr_t>(t.data.data()) % alignof(float) == 0) {
      // A view of the mapping, so that processes share its pages; nothing ever writes to weights.
      auto* data = const_cast<std::byte*>(t.data.data());
      return LinearWeight(at::from_blob(
                              data, {out, in}, [owner = file_](void*) {}, at::TensorOptions(at::kFloat)),
                          bias);
    }
    return LinearWeight(dequantize(t, options_.dtype).to(options_.device), bias);
  }

  std::string main_format() const {
    GgmlType best = GgmlType::F32;
    int64_t most = -1;
    for (const auto& [type, bytes] : bytes_)
      if (bytes > most) best = type, most = bytes;
    return ggml_traits(best).name;
  }

 private:
  std::shared_ptr<const GgufFile> file_;
  LoadOptions options_;
  std::map<GgmlType, int64_t> bytes_;
};

}  // namespace

WeightSet weights_from_gguf(std::shared_ptr<const GgufFile> file, const LoadOptions& options) {
  WeightSet set;
  set.config = config_from_gguf(*file);
  const ModelConfig& c = set.config;
  Source source(file, options);
  const int64_t q_out = c.heads * c.d_h, kv_out = c.kv_heads * c.d_h;
  set.weights.embedding = source.linear("token_embd", c.vocab, c.d_model);
  for (int64_t i = 0; i < c.layers; ++i) {
    const std::string p = fmt::format("blk.{}.", i);
    LayerWeights w;
    w.attention_norm = source.vector(p + "attn_norm.weight", c.d_model);
    w.mlp_norm = source.vector(p + "ffn_norm.weight", c.d_model);
    if (c.qk_norm) {
      w.q_norm = source.vector(p + "attn_q_norm.weight", c.d_h);
      w.k_norm = source.vector(p + "attn_k_norm.weight", c.d_h);
    }
    if (c.sandwich_norm) {
      w.post_attention_norm = source.vector(p + "post_attention_norm.weight", c.d_model);
      w.post_mlp_norm = source.vector(p + "post_ffw_norm.weight", c.d_model);
    }
    if (source.has(p + "attn_qkv.weight")) {  // Phi-3: one tensor for q, k and v, one for gate and up
      const LinearWeight qkv = source.linear(p + "attn_qkv", q_out + 2 * kv_out, c.d_model);
      w.q = qkv.rows(0, q_out);
      w.k = qkv.rows(q_out, kv_out);
      w.v = qkv.rows(q_out + kv_out, kv_out);
    } else {
      w.q = source.linear(p + "attn_q", q_out, c.d_model);
      w.k = source.linear(p + "attn_k", kv_out, c.d_model);
      w.v = source.linear(p + "attn_v", kv_out, c.d_model);
    }
    w.o = source.linear(p + "attn_output", c.d_model, q_out);
    if (source.has(p + "ffn_gate.weight")) {
      w.gate = source.linear(p + "ffn_gate", c.d_ff, c.d_model);
      w.up = source.linear(p + "ffn_up", c.d_ff, c.d_model);
    } else {
      const LinearWeight both = source.linear(p + "ffn_up", 2 * c.d_ff, c.d_model);
      w.gate = both.rows(0, c.d_ff);
      w.up = both.rows(c.d_ff, c.d_ff);
    }
    w.down = source.linear(p + "ffn_down", c.d_model, c.d_ff);
    set.weights.layers.push_back(std::move(w));
  }
  set.weights.final_norm = source.vector("output_norm.weight", c.d_model);
  set.weights.head = c.tied_head ? set.weights.embedding : source.linear("output", c.vocab, c.d_model);
  set.format = source.main_format();
  return set;
}

}  // namespace steno
