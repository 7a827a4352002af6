// What a model file holds and what steno can run of it, gathered without loading weights.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/output.h"
#include "model/config.h"

namespace steno {

struct TensorInfo {
  std::string name, type;
  std::vector<int64_t> shape;  // outermost first
  int64_t bytes = 0;
  bool readable = true;  // steno knows the type
};

// One row of the table: tensors of several layers that differ in nothing but the layer.
struct TensorGroup {
  std::string name;  // "blk.{0..29}.attn_q.weight"
  const TensorInfo* first;
  int64_t count = 0, bytes = 0;
};
std::vector<TensorGroup> group_layers(const std::vector<TensorInfo>& tensors);

struct TokenizerInfo {
  std::string kind;
  int64_t vocab = 0;
  std::string bos, eos;  // "" where there is none
  bool adds_bos = false;
  std::vector<std::string> end_of_generation;
};

struct Inspection {
  std::string path, kind;  // kind: "GGUF v3", "safetensors", "memory file, format 1", "tokenizer.json", ...
  int64_t file_bytes = 0;
  std::vector<std::pair<std::string, std::string>> metadata;  // long values are cut for reading
  std::optional<ModelConfig> config;
  std::vector<TensorInfo> tensors;
  std::optional<TokenizerInfo> tokenizer;
  std::string chat_format;               // "" where none is recognised
  std::vector<std::string> can, cannot;  // sentences
  bool runs = false;                     // generate and ask work with it
};

// Throws InputError for what cannot be read at all; whatever else is wrong is a sentence in `cannot`.
Inspection inspect_path(const std::filesystem::path& path);

Json inspection_json(const Inspection& inspection);
std::string inspection_text(const Inspection& inspection, bool every_tensor);

}  // namespace steno
