#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/json.h"
#include "io/mapped_file.h"
#include "io/shown.h"
#include "model/config.h"

namespace steno {
namespace {

using nlohmann::json;

// config.json with errors that name file and key.
class Reader {
 public:
  Reader(const json& object, std::string where) : object_(object), where_(std::move(where)) {}

  bool has(const char* key) const { return object_.contains(key) && !object_[key].is_null(); }
  template <class T>
  T get(const char* key) const {
    if (!has(key)) throw InputError("{}: '{}' is missing", where_, key);
    const json& value = object_[key];
    const bool fits = std::is_same_v<T, std::string> ? value.is_string()
                      : std::is_same_v<T, bool>      ? value.is_boolean()
                      : std::is_integral_v<T>        ? value.is_number_integer()
                                                     : value.is_number();
    if (!fits) throw InputError("{}: '{}' has the wrong type", where_, key);
    return value.get<T>();
  }
  template <class T>
  T get_or(const char* key, T fallback) const {
    return has(key) ? get<T>(key) : fallback;
  }
  // Sizes are bounded so that no product of two of them overflows and no list of layers exhausts memory.
  int64_t positive(const char* key, int64_t limit = int64_t{1} << 31) const {
    const auto value = get<int64_t>(key);
    if (value < 1 || value > limit) throw InputError("{}: '{}' is {}; it is 1 to {}", where_, key, value, limit);
    return value;
  }
  double positive_number(const char* key, double fallback) const {
    const auto value = get_or<double>(key, fallback);
    if (!(value > 0 && std::isfinite(value)))
      throw InputError("{}: '{}' is {}; it must be above 0", where_, key, value);
    return value;
  }
  Reader object(const char* key) const {
    if (!object_[key].is_object()) throw InputError("{}: '{}' is not an object", where_, key);
    return Reader(object_[key], where_ + ": " + key);
  }
  const json& raw() const { return object_; }
  const std::string& where() const { return where_; }

 private:
  const json& object_;
  std::string where_;
};

// One set of rotary settings, in transformers 5's place ("rope_parameters") or 4's ("rope_scaling").
RopeConfig read_rope(const Reader& r, const ModelConfig& model, double theta) {
  RopeConfig rope;
  rope.theta = r.positive_number("rope_theta", theta);
  if (r.get_or<double>("partial_rotary_factor", 1) != 1)
    throw InputError("{}: partial_rotary_factor other than 1 is not supported", r.where());
  const auto type = r.get_or<std::string>("rope_type", r.get_or<std::string>("type", "default"));
  if (type == "default") return rope;
  rope.factor = r.positive_number("factor", 1);
  rope.original_max_positions =
      r.has("original_max_position_embeddings") ? r.positive("original_max_position_embeddings") : model.max_positions;
  if (type == "linear") {
    rope.scaling = RopeScaling::linear;
  } else if (type == "dynamic") {
    rope.scaling = RopeScaling::dynamic;
  } else if (type == "yarn") {
    rope.scaling = RopeScaling::yarn;
    rope.beta_fast = r.positive_number("beta_fast", 32);
    rope.beta_slow = r.positive_number("beta_slow", 1);
    rope.truncate = r.get_or<bool>("truncate", true);
    rope.attention_factor = r.get_or<double>("attention_factor", 0);
    if (rope.attention_factor == 0 && r.has("mscale") && r.has("mscale_all_dim")) {
      const auto mscale = [&](double m) { return rope.factor > 1 ? 0.1 * m * std::log(rope.factor) + 1 : 1.0; };
      rope.attention_factor = mscale(r.get<double>("mscale")) / mscale(r.get<double>("mscale_all_dim"));
    }
  } else if (type == "llama3") {
    rope.scaling = RopeScaling::llama3;
    rope.low_freq_factor = r.get<double>("low_freq_factor");
    rope.high_freq_factor = r.get<double>("high_freq_factor");
    if (!(rope.low_freq_factor > 0 && rope.high_freq_factor > rope.low_freq_factor))
      throw InputError("{}: low_freq_factor is {}, high_freq_factor {}; 0 < low < high is wanted", r.where(),
                       rope.low_freq_factor, rope.high_freq_factor);
  } else {
    throw InputError("{}: rope type '{}' is not supported; supported: default, linear, dynamic, yarn, llama3",
                     r.where(), shown(type));
  }
  return rope;
}

void read_ropes(const Reader& r, ModelConfig& model) {
  const double theta = r.positive_number("rope_theta", model.family == "gemma3" ? 1e6 : 10000);
  const double local_theta = r.positive_number("rope_local_base_freq", 10000);
  model.local_rope.theta = local_theta;
  if (r.has("rope_parameters")) {
    const Reader parameters = r.object("rope_parameters");
    if (parameters.has("full_attention")) {
      model.rope = read_rope(parameters.object("full_attention"), model, theta);
      if (parameters.has("sliding_attention"))
        model.local_rope = read_rope(parameters.object("sliding_attention"), model, local_theta);
    } else {
      model.rope = read_rope(parameters, model, theta);
    }
  } else if (r.has("rope_scaling")) {
    model.rope = read_rope(r.object("rope_scaling"), model, theta);
  } else {
    model.rope.theta = theta;
  }
}

void read_layer_kinds(const Reader& r, ModelConfig& model) {
  model.kinds.assign(static_cast<size_t>(model.layers), {});
  const bool gemma = model.family == "gemma3";
  const bool uses_window = r.has("sliding_window") &&
                           r.get_or<bool>("use_sliding_window", model.family != "qwen2" && model.family != "qwen3");
  const int64_t window = uses_window ? r.positive("sliding_window") : 0;
  if (window == 0) return;
  if (r.has("layer_types")) {
    const json& types = r.raw()["layer_types"];
    if (!types.is_array() || types.size() != model.kinds.size())
      throw InputError("{}: 'layer_types' must list {} layers", r.where(), model.layers);
    for (size_t i = 0; i < model.kinds.size(); ++i) {
      if (types[i] == "sliding_attention")
        model.kinds[i] = {window, gemma};
      else if (types[i] != "full_attention")
        throw InputError("{}: 'layer_types' names something else than full_attention and sliding_attention", r.where());
    }
  } else if (gemma) {
    const int64_t pattern =
        r.get_or<int64_t>("sliding_window_pattern", r.get_or<int64_t>("_sliding_window_pattern", 6));
    for (size_t i = 0; i < model.kinds.size(); ++i)
      if (pattern < 1 || (static_cast<int64_t>(i) + 1) % pattern != 0) model.kinds[i] = {window, true};
  } else if (model.family == "qwen2" || model.family == "qwen3") {
    const int64_t first = r.get_or<int64_t>("max_window_layers", 0);
    for (size_t i = 0; i < model.kinds.size(); ++i)
      if (static_cast<int64_t>(i) >= first) model.kinds[i].window = window;
  } else {
    for (LayerKind& kind : model.kinds) kind.window = window;
  }
}

}  // namespace

ModelConfig config_from_hf(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  const json object =
      parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, "[config] " + path.string());
  if (!object.is_object()) throw InputError("[config] {}: not a JSON object", path.string());
  const Reader r(object, "[config] " + path.string());

  const auto type = r.get<std::string>("model_type");
  ModelConfig model;
  if (type == "llama" || type == "mistral" || type == "qwen2" || type == "qwen3" || type == "phi3")
    model.family = type;
  else if (type == "gemma3_text")
    model.family = "gemma3";
  else
    throw InputError("{}: model_type '{}' is not supported; supported: llama, mistral, qwen2, qwen3, gemma3_text, phi3",
                     r.where(), shown(type));
  const bool gemma = model.family == "gemma3";
  model.name = r.get_or<std::string>("_name_or_path", "");
  if (model.name.empty()) model.name = path.parent_path().filename().string();
  model.layers = r.positive("num_hidden_layers", 1 << 16);
  model.d_model = r.positive("hidden_size");
  model.d_ff = r.positive("intermediate_size");
  model.heads = r.positive("num_attention_heads");
  model.kv_heads = r.has("num_key_value_heads") ? r.positive("num_key_value_heads") : model.heads;
  if (model.heads % model.kv_heads != 0)
    throw InputError("{}: {} query heads do not share {} key/value heads evenly", r.where(), model.heads,
                     model.kv_heads);
  model.d_h = r.has("head_dim") ? r.positive("head_dim", 1 << 16) : gemma ? 256 : model.d_model / model.heads;
  if (model.d_h < 2 || model.d_h % 2 != 0)
    throw InputError("{}: head width {} is not a positive even number", r.where(), model.d_h);
  model.vocab = r.positive("vocab_size");
  model.max_positions = r.positive("max_position_embeddings");
  model.norm_eps = r.positive_number("rms_norm_eps", 1e-6);
  model.tied_head = r.get_or<bool>("tie_word_embeddings", gemma);
  model.attention_scale = 1 / std::sqrt(static_cast<double>(model.d_h));
  const auto act =
      r.get_or<std::string>(gemma ? "hidden_activation" : "hidden_act", gemma ? "gelu_pytorch_tanh" : "silu");
  if (act == "silu" || act == "swish")
    model.activation = Activation::silu;
  else if (act == "gelu_pytorch_tanh")
    model.activation = Activation::gelu_tanh;
  else
    throw InputError("{}: activation '{}' is not supported", r.where(), shown(act));
  for (const char* key : {"attn_logit_softcapping", "final_logit_softcapping"})
    if (r.has(key)) throw InputError("{}: '{}' is set; logit soft-capping is not supported", r.where(), key);
  if (gemma) {
    model.sandwich_norm = model.norm_plus_one = true;
    model.embedding_scale = std::sqrt(static_cast<double>(model.d_model));
    model.attention_scale = 1 / std::sqrt(r.positive_number("query_pre_attn_scalar", 256));
    if (r.get_or<bool>("use_bidirectional_attention", false))
      throw InputError("{}: bidirectional attention is not supported", r.where());
  }
  model.qk_norm = gemma || model.family == "qwen3";
  read_ropes(r, model);
  read_layer_kinds(r, model);
  return model;
}

}  // namespace steno
