// PEFT's adapter folder: adapter_config.json and adapter_model.safetensors.
#include <fmt/ranges.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/atomic_file.h"
#include "io/json.h"
#include "io/mapped_file.h"
#include "io/safetensors.h"
#include "io/shown.h"
#include "model/lora.h"

namespace steno {
namespace {

using nlohmann::json;

constexpr int64_t kMaxRank = 1 << 20;

json read_config(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  json config = parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, "[lora] " + path.string());
  if (!config.is_object()) throw InputError("[lora] {}: not a JSON object", path.string());
  return config;
}

void refuse(const json& config, const char* key, const std::filesystem::path& path) {
  if (!config.contains(key) || config[key].is_null()) return;
  const json& value = config[key];
  const bool off =
      (value.is_boolean() && !value.get<bool>()) || (value.is_structured() && value.empty()) || value == "none";
  if (!off) throw InputError("[lora] {}: '{}' is set; steno reads plain LoRA only", path.string(), key);
}

template <class T>
T get(const json& config, const char* key, T fallback, const std::filesystem::path& path) {
  if (!config.contains(key) || config[key].is_null()) return fallback;
  const json& value = config[key];
  if (std::is_arithmetic_v<T> && !(std::is_same_v<T, bool> ? value.is_boolean()
                                   : std::is_integral_v<T> ? value.is_number_integer()
                                                           : value.is_number()))
    throw InputError("[lora] {}: '{}' has the wrong type", path.string(), key);
  try {
    return value.get<T>();
  } catch (const json::exception&) {
    throw InputError("[lora] {}: '{}' has the wrong type", path.string(), key);
  }
}

}  // namespace

AdapterSet AdapterSet::load(const std::filesystem::path& folder, const ModelConfig& model) {
  const auto config_path = folder / "adapter_config.json";
  const json config = read_config(config_path);
  if (get<std::string>(config, "peft_type", "LORA", config_path) != "LORA")
    throw InputError("[lora] {}: peft_type is not LORA", config_path.string());
  for (const char* key : {"use_dora", "use_qalora", "use_bdlora", "rank_pattern", "alpha_pattern", "modules_to_save",
                          "layers_to_transform", "layer_replication", "target_parameters", "trainable_token_indices",
                          "alora_invocation_tokens", "arrow_config", "kasa_config", "monteclora_config",
                          "velora_config", "fan_in_fan_out", "lora_bias", "bias"})
    refuse(config, key, config_path);
  // These initialisations subtract from the base weights, so the adapter alone is not the fine-tuned model.
  if (const auto start = config.find("init_lora_weights"); start != config.end() && start->is_string()) {
    const auto name = start->get<std::string>();
    for (const char* changed : {"pissa", "olora", "corda", "loftq"})
      if (name.starts_with(changed))
        throw InputError(
            "[lora] {}: init_lora_weights '{}' changes the base model; convert the adapter to plain LoRA in PEFT",
            config_path.string(), shown(name));
  }

  AdapterSet set;
  set.config_.rank = get<int64_t>(config, "r", 8, config_path);
  set.config_.alpha = get<double>(config, "lora_alpha", 8, config_path);
  set.config_.dropout = get<double>(config, "lora_dropout", 0, config_path);
  set.config_.rank_stabilized = get<bool>(config, "use_rslora", false, config_path);
  if (set.config_.rank < 1 || set.config_.rank > kMaxRank)
    throw InputError("[lora] {}: r is {}; it is 1 to {}", config_path.string(), set.config_.rank, kMaxRank);
  set.config_.targets.clear();
  if (!std::isfinite(set.config_.alpha) || !(set.config_.dropout >= 0 && set.config_.dropout < 1))
    throw InputError("[lora] {}: lora_alpha is {}, lora_dropout is {}", config_path.string(), set.config_.alpha,
                     set.config_.dropout);
  auto& targets = set.config_.targets;
  for (const auto& name : get<std::vector<std::string>>(config, "target_modules", {}, config_path)) {
    try {
      targets.push_back(target_named(name));
    } catch (const InputError& error) {
      throw InputError("{} (in {})", error.what(), config_path.string());
    }
  }
  std::sort(targets.begin(), targets.end());
  targets.erase(std::unique(targets.begin(), targets.end()), targets.end());
  if (set.config_.targets.empty())
    throw InputError("[lora] {}: target_modules must list the modules by name", config_path.string());

  const auto file = SafetensorsFile::open(folder / "adapter_model.safetensors");
  set.pairs_.resize(static_cast<size_t>(model.layers));
  // Shapes first, as tensors without memory, so that names and expectations come from one list.
  const auto shape = [](int64_t rows, int64_t columns) { return at::empty({rows, columns}, at::kMeta); };
  for (auto& layer : set.pairs_)
    for (const Target target : set.config_.targets)
      layer[static_cast<size_t>(target)] = {shape(set.config_.rank, target_in(model, target)),
                                            shape(target_out(model, target), set.config_.rank)};
  std::vector<at::Tensor> values;
  for (const auto& [name, tensor] : set.named_parameters()) {
    if (!file->has(name)) throw InputError("[lora] {}: tensor '{}' is missing", file->path().string(), name);
    const at::Tensor stored = file->tensor(name);
    if (stored.sizes() != tensor.sizes())
      throw InputError("[lora] {}: tensor '{}' is {}, the base model wants {}", file->path().string(), name,
                       fmt::format("[{}]", fmt::join(stored.sizes(), ", ")),
                       fmt::format("[{}]", fmt::join(tensor.sizes(), ", ")));
    if (!stored.is_floating_point())
      throw InputError("[lora] {}: tensor '{}' does not hold floating-point numbers", file->path().string(), name);
    values.push_back(stored.to(at::kFloat, /*non_blocking=*/false, /*copy=*/true));
  }
  if (values.size() != file->entries().size())
    throw InputError("[lora] {}: {} tensors are not of plain LoRA layers of this model", file->path().string(),
                     file->entries().size() - values.size());
  auto next = values.begin();
  for (auto& layer : set.pairs_)
    for (LoraPair& pair : layer)
      if (pair.defined()) pair = {*next++, *next++};
  return set;
}

void AdapterSet::save(const std::filesystem::path& folder, const std::string& base_model_name) const {
  std::filesystem::create_directories(folder);
  write_safetensors(folder / "adapter_model.safetensors", named_parameters(), {{"format", "pt"}});
  json targets = json::array();
  for (const Target target : config_.targets) targets.push_back(target_name(target));
  const json config = {{"peft_type", "LORA"},
                       {"task_type", "CAUSAL_LM"},
                       {"base_model_name_or_path", base_model_name},
                       {"r", config_.rank},
                       {"lora_alpha", config_.alpha},
                       {"lora_dropout", config_.dropout},
                       {"use_rslora", config_.rank_stabilized},
                       {"target_modules", targets},
                       {"bias", "none"},
                       {"fan_in_fan_out", false},
                       {"inference_mode", true}};
  AtomicFile file(folder / "adapter_config.json");
  file.write(config.dump(2) + "\n");
  file.commit();
}

}  // namespace steno
