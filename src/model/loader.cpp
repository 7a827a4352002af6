#include "model/loader.h"

#include <ATen/Context.h>

#include <future>

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
  std::string format;
};

// The GGUF file, or null for a Hugging Face folder.
std::shared_ptr<const GgufFile> open_gguf(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored))
    throw InputError("model '{}' not found; give a GGUF file or a Hugging Face folder", path.string());
  if (fs::is_directory(path)) return nullptr;
  if (path.extension() == ".gguf") return GgufFile::open(path);
  throw InputError("model '{}' is neither a .gguf file nor a folder with config.json", path.string());
}

Loaded load(const fs::path& path, std::shared_ptr<const GgufFile> gguf, const LoadOptions& options) {
  check_device(options.device);
  if (options.dtype != at::kFloat && options.dtype != at::kBFloat16)
    throw UsageError("the compute dtype is f32 or bf16");
  WeightSet set = gguf ? weights_from_gguf(std::move(gguf), options) : weights_from_hf(path, options);
  return {std::make_shared<const Decoder>(std::move(set.config), std::move(set.weights), options.dtype),
          std::move(set.format)};
}

}  // namespace

std::shared_ptr<const Decoder> load_decoder(const fs::path& path, const LoadOptions& options) {
  return load(path, open_gguf(path), options).decoder;
}

Model load_model(const fs::path& path, const LoadOptions& options) {
  const auto gguf = open_gguf(path);
  // The vocabulary and the weights take about as long as each other.
  auto tokenizer =
      std::async(std::launch::async, [&] { return gguf ? Tokenizer::from_gguf(*gguf) : Tokenizer::from_json(path); });
  Loaded loaded = load(path, gguf, options);
  Model model;
  model.decoder = std::move(loaded.decoder);
  model.tokenizer = tokenizer.get();
  model.path = path;
  model.name = model.decoder->config().name;
  model.weight_format = std::move(loaded.format);
  if (model.tokenizer->vocab_size() > model.decoder->config().vocab)
    throw InputError("[loader] {}: the tokenizer has {} tokens, the embedding only {} rows", path.string(),
                     model.tokenizer->vocab_size(), model.decoder->config().vocab);
  return model;
}

}  // namespace steno
