// For tests only: tiny models with adapters of random numbers.
#pragma once
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/files_test_util.h"
#include "memory/compressor.h"
#include "methods/icae/adapter.h"
#include "methods/icae/encoder.h"
#include "methods/icae/reader.h"
#include "methods/method_test_util.h"

namespace steno::icae::test {

using namespace steno::test;

inline Model tiny_model(const std::string& name, at::ScalarType dtype = at::kFloat) {
  return load_model(tiny_folder(name), {.dtype = dtype});
}

inline Model stories() {
  return load_model(std::filesystem::path(STENO_SOURCE_DIR) / "tests/data/stories260K", {.dtype = at::kFloat});
}

inline at::Tensor random_numbers(at::IntArrayRef shape, uint64_t seed, double scale) {
  Random random(seed);
  const at::Tensor t = at::empty(shape, at::kFloat);
  for (int64_t i = 0; i < t.numel(); ++i)
    t.mutable_data_ptr<float>()[i] = static_cast<float>((2 * random.uniform() - 1) * scale);
  return t;
}

inline Settings small_settings(int64_t k = 3, int64_t ratio = 4) {
  Settings settings;
  settings.k = k, settings.ratio = ratio;
  settings.eos = settings.answer_end = 102;
  return settings;
}

// With B != 0, so that the adapter does something.
inline Adapter random_adapter(const Model& model, const Settings& settings = small_settings(), uint64_t seed = 1) {
  const at::NoGradGuard no_grad;
  Adapter adapter = create_adapter(model, settings, {.rank = 4, .alpha = 6}, TableInit::embedding, seed);
  for (const auto& [name, tensor] : adapter.lora.named_parameters())
    if (name.ends_with("lora_B.weight")) at::Tensor(tensor).copy_(random_numbers(tensor.sizes(), ++seed, 0.3));
  adapter.embeddings.copy_(random_numbers(adapter.embeddings.sizes(), ++seed, 0.5));
  return adapter;
}

inline std::vector<TokenId> random_text(const Model& model, int64_t count, uint64_t seed) {
  return random_ids(*model.decoder, count, seed);
}

// Slots [spans * k, d] of fixed spans, one by one.
inline at::Tensor slots_of(const Model& model, const Adapter& adapter, const std::vector<TokenId>& text) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> parts;
  for (const auto& span : cut_fixed(text, adapter.settings.span_tokens()))
    parts.push_back(encode_spans(*model.decoder, adapter, std::span(&span, 1))[0]);
  return at::cat(parts, 0);
}

// Lets a reader of random_adapter()'s slots read those of `tokens` tokens in fixed spans of 12.
inline void read_fixed_spans(Reader& reader, const at::Tensor& slots, int64_t tokens) {
  std::vector<int64_t> spans;
  for (int64_t rest = tokens; rest > 0; rest -= 12) spans.push_back(std::min<int64_t>(rest, 12));
  reader.read_embeddings(slots, spans, tokens);
}

}  // namespace steno::icae::test
