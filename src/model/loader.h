// Models from disk: a GGUF file, or a Hugging Face folder with config.json and safetensors.
#pragma once
#include <filesystem>
#include <memory>
#include <string>

#include "io/chat_format.h"
#include "io/tokenizer.h"
#include "model/decoder.h"

namespace steno {

struct LoadOptions {
  at::ScalarType dtype = at::kBFloat16;  // compute dtype; f32 for reference
  at::Device device = at::kCPU;
  // CPU only: keep quantised tensors as mapped blocks. False, and on other devices: dense tensors of `dtype`.
  bool keep_quantised = true;
};

struct Model {
  std::shared_ptr<const Decoder> decoder;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::filesystem::path path;
  std::string name;           // for people and run records
  std::string weight_format;  // "Q4_1", "BF16", ...: the type most weight bytes have
};

// Throws InputError (missing files or tensors, wrong shapes, unsupported architecture, NaN scales), ResourceError (no
// such device, out of memory).
Model load_model(const std::filesystem::path& path, const LoadOptions& options = {});
// The weights and configuration alone.
std::shared_ptr<const Decoder> load_decoder(const std::filesystem::path& path, const LoadOptions& options = {});

}  // namespace steno
