// Tensors of a file as the weights of a decoder: names, shapes and storage.
#pragma once
#include <filesystem>
#include <memory>
#include <string>

#include "model/decoder.h"
#include "model/loader.h"

namespace steno {

class GgufFile;

struct WeightSet {
  ModelConfig config;
  DecoderWeights weights;
  std::string format;  // the type most weight bytes have
};

WeightSet weights_from_gguf(std::shared_ptr<const GgufFile> file, const LoadOptions& options);
WeightSet weights_from_hf(const std::filesystem::path& folder, const LoadOptions& options);

}  // namespace steno
