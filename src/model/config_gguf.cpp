#include <cmath>

#include "base/error.h"
#include "io/gguf.h"
#include "io/shown.h"
#include "model/config.h"

namespace steno {
namespace {

constexpr const char* kSupported = "llama, qwen2, qwen3, gemma3, phi3";

void check_positive(double value, const std::string& where, const std::string& key) {
  if (!(value > 0 && std::isfinite(value))) throw InputError("{}: {} is {}; it must be above 0", where, key, value);
}

RopeConfig read_rope(const GgufFile& file, const std::string& arch, const std::string& where,
                     const ModelConfig& model) {
  RopeConfig rope;
  rope.theta = file.float_or(arch + ".rope.freq_base", 10000);
  rope.layout = arch == "llama" ? RopeLayout::interleaved : RopeLayout::half;
  const auto scaling = file.string_or(arch + ".rope.scaling.type", "none");
  rope.factor = file.float_or(arch + ".rope.scaling.factor", 1);
  rope.original_max_positions = file.int_or(arch + ".rope.scaling.original_context_length", model.max_positions);
  check_positive(rope.theta, where, arch + ".rope.freq_base");
  if (scaling != "none") {
    check_positive(rope.factor, where, arch + ".rope.scaling.factor");
    check_positive(static_cast<double>(rope.original_max_positions), where,
                   arch + ".rope.scaling.original_context_length");
  }
  if (scaling == "linear") {
    rope.scaling = RopeScaling::linear;
  } else if (scaling == "yarn") {
    rope.scaling = RopeScaling::yarn;
    // The converter folds nothing else into the file; llama.cpp multiplies its own mscale by this factor.
    const double stored = file.float_or(arch + ".rope.scaling.attn_factor", 1);
    if (stored != 1) rope.attention_factor = stored * (0.1 * std::log(rope.factor) + 1);
    rope.beta_fast = file.float_or(arch + ".rope.scaling.yarn_beta_fast", 32);
    rope.beta_slow = file.float_or(arch + ".rope.scaling.yarn_beta_slow", 1);
    check_positive(rope.beta_fast, where, arch + ".rope.scaling.yarn_beta_fast");
    check_positive(rope.beta_slow, where, arch + ".rope.scaling.yarn_beta_slow");
  } else if (scaling != "none") {
    throw InputError("{}: {}.rope.scaling.type is '{}'; supported: none, linear, yarn, and llama3 by rope_freqs.weight",
                     where, arch, shown(scaling));
  }
  if (const GgufTensor* factors = file.find_tensor("rope_freqs.weight")) {
    const at::Tensor values = dequantize(*factors, at::kFloat);
    if (values.numel() != model.d_h / 2)
      throw InputError("{}: rope_freqs.weight has {} values, {} expected", where, values.numel(), model.d_h / 2);
    if (!(values > 0).all().item<bool>())
      throw InputError("{}: rope_freqs.weight holds a value that is not above 0", where);
    rope.freq_factors.assign(values.const_data_ptr<float>(), values.const_data_ptr<float>() + values.numel());
  }
  return rope;
}

}  // namespace

ModelConfig config_from_gguf(const GgufFile& file) {
  const std::string where = fmt::format("[gguf] {}", file.path().string());
  const std::string arch(file.get_string("general.architecture"));
  if (arch != "llama" && arch != "qwen2" && arch != "qwen3" && arch != "gemma3" && arch != "phi3")
    throw InputError("{}: architecture '{}' is not supported; supported: {}", where, shown(arch), kSupported);
  // Sizes are bounded so that no product of two of them overflows and no list of layers exhausts memory.
  const auto at_least_one = [&](const std::string& key, int64_t limit = int64_t{1} << 31) {
    const int64_t value = file.get_int(arch + key);
    if (value < 1 || value > limit) throw InputError("{}: {}{} is {}; it is 1 to {}", where, arch, key, value, limit);
    return value;
  };
  ModelConfig model;
  model.family = arch;
  model.name = std::string(file.string_or("general.name", arch));
  model.layers = at_least_one(".block_count", 1 << 16);
  model.d_model = at_least_one(".embedding_length");
  model.d_ff = at_least_one(".feed_forward_length");
  model.heads = at_least_one(".attention.head_count");
  model.kv_heads =
      file.find(arch + ".attention.head_count_kv") ? at_least_one(".attention.head_count_kv") : model.heads;
  if (model.heads % model.kv_heads != 0)
    throw InputError("{}: {} query heads do not share {} key/value heads evenly", where, model.heads, model.kv_heads);
  model.d_h = file.int_or(arch + ".attention.key_length", model.d_model / model.heads);
  if (model.d_h < 2 || model.d_h > (1 << 16) || model.d_h % 2 != 0 ||
      file.int_or(arch + ".attention.value_length", model.d_h) != model.d_h)
    throw InputError("{}: head width {} (keys) and {} (values); steno wants one even width", where, model.d_h,
                     file.int_or(arch + ".attention.value_length", model.d_h));
  if (file.int_or(arch + ".rope.dimension_count", model.d_h) != model.d_h)
    throw InputError("{}: partial rotary embedding ({} of {} dimensions) is not supported", where,
                     file.int_or(arch + ".rope.dimension_count", model.d_h), model.d_h);
  if (file.int_or(arch + ".expert_count", 0) > 0)
    throw InputError("{}: mixture-of-experts models are not supported", where);
  model.max_positions = at_least_one(".context_length");
  model.norm_eps = file.get_float(arch + ".attention.layer_norm_rms_epsilon");
  check_positive(model.norm_eps, where, arch + ".attention.layer_norm_rms_epsilon");
  model.attention_scale = 1 / std::sqrt(static_cast<double>(model.d_h));
  const GgufTensor* embedding = file.find_tensor("token_embd.weight");
  if (!embedding || embedding->shape.size() != 2)
    throw InputError("{}: tensor 'token_embd.weight' is missing; the file holds no runnable model", where);
  model.vocab = embedding->shape[0];
  model.tied_head = file.find_tensor("output.weight") == nullptr;
  model.qk_norm = arch == "qwen3" || arch == "gemma3";
  model.rope = read_rope(file, arch, where, model);
  model.kinds.resize(static_cast<size_t>(model.layers));
  if (file.find_tensor("rope_factors_long.weight"))
    throw InputError("{}: longrope factors are not supported; use the model's short-context variant", where);
  const int64_t window = file.int_or(arch + ".attention.sliding_window", 0);
  if (window < 0) throw InputError("{}: {}.attention.sliding_window is {}", where, arch, window);
  if (arch == "gemma3") {
    model.sandwich_norm = true;
    model.activation = Activation::gelu_tanh;
    model.embedding_scale = std::sqrt(static_cast<double>(model.d_model));
    // Gemma 3 27B scales by d_model / heads; all others by the head width (llama.cpp, gemma3).
    if (model.layers == 62) model.attention_scale = 1 / std::sqrt(static_cast<double>(model.d_model / model.heads));
    model.local_rope = model.rope;
    model.local_rope.theta = file.float_or(arch + ".rope.freq_base_swa", 10000);
    check_positive(model.local_rope.theta, where, arch + ".rope.freq_base_swa");
    model.local_rope.scaling = RopeScaling::none;
    for (size_t i = 0; i < model.kinds.size(); ++i)
      if ((i + 1) % 6 != 0) model.kinds[i] = {window, true};  // every sixth layer sees everything
  } else if (window > 0) {
    for (LayerKind& kind : model.kinds) kind.window = window;
  }
  return model;
}

}  // namespace steno
