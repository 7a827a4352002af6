// The folder of an adapter.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>
#include <fmt/ranges.h>

#include <set>

#include "base/error.h"
#include "io/safetensors.h"
#include "io/shown.h"
#include "memory/stream_frame.h"
#include "methods/icae/adapter.h"
#include "model/identity.h"

namespace steno::icae {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFormat = "steno.icae";
constexpr const char* kFormatVersion = "1";
const std::string kSetting = "setting.", kBase = "base.", kLora = "lora.";

fs::path table_path(const fs::path& folder) { return folder / "icae.safetensors"; }

struct TableFile {
  std::shared_ptr<const SafetensorsFile> file;
  Settings settings;
  std::string base_name;
  Identity base;
  std::string lora_hash;
};

// All metadata whose names begin with `prefix`, without it.
FieldValues with_prefix(const SafetensorsFile& file, const std::string& prefix) {
  FieldValues values;
  for (const auto& [name, value] : file.metadata())
    if (name.starts_with(prefix)) values[name.substr(prefix.size())] = value;
  return values;
}

TableFile open_table(const fs::path& folder) {
  std::error_code none;
  if (folder.empty()) throw UsageError("[icae] needs an adapter: adapter=FOLDER, as 'steno train' writes it");
  if (!fs::is_directory(folder, none)) throw UsageError("[icae] adapter '{}': no such folder", folder.string());
  const fs::path path = table_path(folder);
  if (!fs::is_regular_file(path, none))
    throw InputError("[icae] {}: no icae.safetensors here; this is no ICAE adapter", folder.string());
  TableFile table{SafetensorsFile::open(path), {}, {}, {}, {}};
  const auto value = [&](const std::string& name) -> const std::string& {
    const auto found = table.file->metadata().find(name);
    if (found == table.file->metadata().end())
      throw InputError("[icae] {}: not an ICAE adapter ('{}' is missing)", path.string(), name);
    return found->second;
  };
  const auto expect = [&](const std::string& name, const std::string& expected) {
    if (value(name) != expected)
      throw InputError("[icae] {}: {} is '{}', this version of steno reads '{}'", path.string(), name,
                       shown(value(name)), expected);
  };
  expect("format", kFormat);
  expect("format_version", kFormatVersion);
  expect("method_version", std::to_string(kMethodVersion));
  const FieldValues settings = with_prefix(*table.file, kSetting);
  for (const FieldInfo& field : list_fields(Settings{})) value(kSetting + field.name);
  try {
    set_fields("icae", table.settings, settings);
    check_settings("icae", table.settings);
    ids_of(table.settings.before);
    ids_of(table.settings.after);
  } catch (const Error& error) {
    throw InputError("[icae] {}: {}", path.string(), error.what());
  }
  table.base_name = value("base_name");
  table.base = with_prefix(*table.file, kBase);
  table.lora_hash = value("lora_hash");
  return table;
}

// What binds the two tensor files of a folder: LoRA numbers as they are stored.
std::string lora_hash(const AdapterSet& lora) {
  const LoraConfig& c = lora.config();
  return stream_checksum({{"lora", fmt::format("{} {} {}", c.rank, c.alpha, c.rank_stabilized)}},
                         lora.named_parameters());
}

void check_base(const fs::path& folder, const TableFile& table, const Decoder& decoder, const Model* model) {
  Identity here;
  if (model && !model->path.empty()) here = identity_of(*model);
  here["decoder"] = fingerprint(decoder);
  for (const auto& [name, hash] : here) {
    const auto found = table.base.find(name);
    // An adapter for a model without a file knows nothing but the decoder.
    if (found == table.base.end() && name != "decoder") continue;
    if (found != table.base.end() && found->second == hash) continue;
    throw InputError("[icae] {}: this adapter belongs to the model '{}', not to '{}' ({} differs: {} and {})",
                     folder.string(), shown(table.base_name),
                     model && !model->name.empty() ? model->name : decoder.config().name, name,
                     found == table.base.end() ? "none" : shown(found->second), hash);
  }
}

}  // namespace

Settings load_settings(const fs::path& folder) { return open_table(folder).settings; }

Adapter load_adapter(const fs::path& folder, const Decoder& decoder, const Model* model) {
  const at::NoGradGuard no_grad;
  const TableFile table = open_table(folder);
  check_base(folder, table, decoder, model);
  const ModelConfig& config = decoder.config();
  const int64_t d = config.d_model;
  Adapter adapter;
  adapter.settings = table.settings;
  adapter.base_name = table.base_name;
  adapter.base = table.base;
  adapter.lora = AdapterSet::load(folder, config);
  if (adapter.lora.config().targets != std::vector<Target>{Target::q, Target::v})
    throw InputError("[icae] {}: the adapter must be on q_proj and v_proj, nothing else", folder.string());
  if (lora_hash(adapter.lora) != table.lora_hash)
    throw InputError("[icae] {}: adapter_model.safetensors and icae.safetensors are of different saves",
                     folder.string());
  for (int64_t layer = 0; layer < adapter.lora.layers(); ++layer) {
    for (const Target target : {Target::q, Target::v}) {
      LoraPair& pair = adapter.lora.pair(layer, target);
      pair = {pair.a.to(decoder.device()), pair.b.to(decoder.device())};
    }
  }
  std::set<std::string> known;
  const auto take = [&](const std::string& name, std::vector<int64_t> shape) {
    const fs::path& path = table.file->path();
    if (!table.file->has(name)) throw InputError("[icae] {}: tensor '{}' is missing", path.string(), name);
    known.insert(name);
    const at::Tensor stored = table.file->tensor(name);
    if (stored.sizes() != shape || !stored.is_floating_point())
      throw InputError("[icae] {}: tensor '{}' is {} [{}], expected numbers [{}]", path.string(), name,
                       toString(stored.scalar_type()), fmt::join(stored.sizes(), ", "), fmt::join(shape, ", "));
    return stored.to(at::kFloat, /*non_blocking=*/false, /*copy=*/true).to(decoder.device());
  };
  adapter.embeddings = take("embeddings", {table.settings.k + 3, d});
  if (table.settings.memory_head) {
    adapter.head.in_weight = take("memory_head.in.weight", {d, d});
    adapter.head.in_bias = take("memory_head.in.bias", {d});
    adapter.head.out_weight = take("memory_head.out.weight", {d, d});
    adapter.head.out_bias = take("memory_head.out.bias", {d});
  }
  for (const auto& entry : table.file->entries())
    if (!known.contains(entry.name))
      throw InputError("[icae] {}: tensor '{}' is not part of an ICAE adapter", table.file->path().string(),
                       shown(entry.name));
  return adapter;
}

void save_adapter(const Adapter& adapter, const fs::path& folder, at::ScalarType storage, const Json& provenance) {
  const c10::InferenceMode inference;
  AdapterSet lora = adapter.lora;
  for (int64_t layer = 0; layer < lora.layers(); ++layer)
    for (const Target target : lora.config().targets)
      lora.pair(layer, target) = {adapter.lora.pair(layer, target).a.to(at::kCPU, storage),
                                  adapter.lora.pair(layer, target).b.to(at::kCPU, storage)};
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  const size_t of_lora = lora.named_parameters().size();
  const auto all = adapter.named_parameters();
  for (size_t i = of_lora; i < all.size(); ++i) tensors.emplace_back(all[i].first, all[i].second.to(at::kCPU, storage));

  // The hash is of the numbers that a reader will see, f32 after the rounding.
  AdapterSet seen = lora;
  for (int64_t layer = 0; layer < lora.layers(); ++layer)
    for (const Target target : lora.config().targets)
      seen.pair(layer, target) = {lora.pair(layer, target).a.to(at::kFloat), lora.pair(layer, target).b.to(at::kFloat)};
  std::map<std::string, std::string> metadata = {{"format", kFormat},
                                                 {"format_version", kFormatVersion},
                                                 {"method", "icae"},
                                                 {"method_version", std::to_string(kMethodVersion)},
                                                 {"base_name", adapter.base_name},
                                                 {"lora_hash", lora_hash(seen)},
                                                 {"provenance", provenance.dump()}};
  for (const auto& [name, value] : field_values(adapter.settings)) metadata[kSetting + name] = value;
  for (const auto& [name, hash] : adapter.base) metadata[kBase + name] = hash;
  lora.save(folder, adapter.base_name);
  write_safetensors(table_path(folder), tensors, metadata);
}

}  // namespace steno::icae
