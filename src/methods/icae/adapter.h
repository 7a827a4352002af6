// What ICAE learns beside a frozen model: LoRA on q and v of the encoder pass and the embeddings of its own tokens
// (icae, section 3), with the identity of the model they belong to.
//
// On disk a folder: PEFT's adapter_config.json and adapter_model.safetensors, and icae.safetensors with "embeddings"
// [k + 3, d], the memory head where there is one, and metadata: settings, the base model's name and hashes, provenance.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "io/json.h"
#include "memory/stream.h"
#include "methods/icae/layout.h"
#include "methods/icae/settings.h"
#include "model/loader.h"

namespace steno::icae {

inline constexpr int kMethodVersion = 1;

// d -> d, GELU, d -> d on the slots (version 1 of the reference; off by default).
struct MemoryHead {
  at::Tensor in_weight, in_bias, out_weight, out_bias;
  bool defined() const { return in_weight.defined(); }
};

enum class TableInit {
  embedding,  // normal with the mean and deviation of the model's own embeddings, by dimension
  normal      // N(0, 1), as the reference: rows far longer than those of the model (gotcha 3)
};
TableInit table_init_named(const std::string& name);  // throws UsageError

// Tensors are f32 on the decoder's device.
struct Adapter {
  Settings settings;
  AdapterSet lora;
  at::Tensor embeddings;  // [k + 3, d]: memory tokens, AE, LM, FT
  MemoryHead head;
  std::string base_name;  // of the model, for people
  // "model", "rope", "tokenizer" as model/identity.h, where the adapter was made for a model from a file, and
  // "decoder": fingerprint().
  Identity base;

  // Everything trainable, in a fixed order.
  std::vector<std::pair<std::string, at::Tensor>> named_parameters() const;
  IdPlan plan(const ModelConfig& model) const { return {model.vocab, settings.k}; }
  // Of the numbers and the settings: what a stored memory is bound to.
  std::string hash() const;
};

// Of a model that is already loaded: its sizes, its rotation, all norms, and some rows of every kind, rounded to bf16
// so that the type it was loaded as does not matter.
std::string fingerprint(const Decoder& decoder);

// Fresh: B = 0, so that the encoder is the model itself at first.
Adapter create_adapter(const Model& model, const Settings& settings, const LoraConfig& lora, TableInit init,
                       uint64_t seed);
// `model` where the weights' file is known, else nullptr; then "decoder" alone is compared. Throws UsageError (no such
// folder), InputError (another base, with both names; missing, additional or renamed tensors; files of different
// saves).
Adapter load_adapter(const std::filesystem::path& folder, const Decoder& decoder, const Model* model);
// Numbers as `storage` (f32 or bf16); each file atomically. Throws ResourceError.
void save_adapter(const Adapter& adapter, const std::filesystem::path& folder, at::ScalarType storage,
                  const Json& provenance);
// The settings alone, without a look at any number. Throws as load_adapter().
Settings load_settings(const std::filesystem::path& folder);

}  // namespace steno::icae
