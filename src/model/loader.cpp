#include "model/loader.h"

#include <ATen/Context.h>

#include "base/error.h"
#include "io/gguf.h"
#include "model/weights.h"

namespace steno {
namespace {

namespace fs = std::filesystem;

void check_device(const at::Device& device) {
  if (device.is_cpu()) return;
  if (!at::hasCUDA()) throw ResourceError("device {} is not there: this build or machine has no CUDA", device.str());
  if (device.is_cuda() && device.has_index() && device.index() >= static_cast<int>(at::getNumGPUs()))
    throw ResourceError("device {} is not there: {} CUDA devices found", device.str(), at::getNumGPUs());
}

struct Loaded {
  std::shared_ptr<const Decoder> decoder;
  std::shared_ptr<const GgufFile> gguf;  // null for a Hugging Face folder
  std::string format;
};

Loaded load(const fs::path& path, const LoadOptions& options) {
  check_device(options.device);
  if (options.dtype != at::kFloat && options.dtype != at::kBFloat16)
    throw UsageError("the compute dtype is f32 or bf16");
  std::error_code ignored;
  if (!fs::exists(path, ignored))
    throw InputError("model '{}' not found; give a GGUF file or a Hugging Face folder", path.string());
  Loaded loaded;
  WeightSet set;
  if (fs::is_directory(path)) {
    set = weights_from_hf(path, options);
  } else if (path.extension() == ".gguf") {
    loaded.gguf = GgufFile::open(path);
    set = weights_from_gguf(loaded.gguf, options);
  } else {
    throw InputError("model '{}' is neither a .gguf file nor a folder with config.json", path.string());
  }
  loaded.format = set.format;
  loaded.decoder = std::make_shared<const Decoder>(std::move(set.config), std::move(set.weights), options.dtype);
  return loaded;
}

}  // namespace

std::shared_ptr<const Decoder> load_decoder(const fs::path& path, const LoadOptions& options) {
  return load(path, options).decoder;
}

Model load_model(const fs::path& path, const LoadOptions& options) {
  Loaded loaded = load(path, options);
  Model model;
  model.decoder = std::move(loaded.decoder);
  model.tokenizer = loaded.gguf ? Tokenizer::from_gguf(*loaded.gguf) : Tokenizer::from_json(path);
  model.path = path;
  model.name = model.decoder->config().name;
  model.weight_format = std::move(loaded.format);
  if (model.tokenizer->vocab_size() > model.decoder->config().vocab)
    throw InputError("[loader] {}: the tokenizer has {} tokens, the embedding only {} rows", path.string(),
                     model.tokenizer->vocab_size(), model.decoder->config().vocab);
  return model;
}

}  // namespace steno
