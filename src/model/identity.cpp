#include "model/identity.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "io/file_hash.h"

namespace steno {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> weight_files(const fs::path& path) {
  if (!fs::is_directory(path)) return {path};
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(path))
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

std::string rope_text(const RopeConfig& rope) {
  return fmt::format("{} {} {} {} {} {} {} {} {} {} {} [{}]", rope.theta, static_cast<int>(rope.layout),
                     static_cast<int>(rope.scaling), rope.factor, rope.original_max_positions, rope.low_freq_factor,
                     rope.high_freq_factor, rope.beta_fast, rope.beta_slow, rope.attention_factor, rope.truncate,
                     fmt::join(rope.freq_factors, " "));
}

// Words, numbers, code, marks and other scripts: another order of merges cuts some of it elsewhere.
constexpr std::string_view kProbe =
    "The quick brown foxes weren't jumping over 31,415 lazily sleeping dogs; internationalisation of misunderstood "
    "neighbourhoods, 2026-02-29T23:59:60Z.\n\tfor (int i = 0; i < n; ++i) { total += values[i] * 0.5f; }\n"
    "Übermäßig größere Straßen, naïve façade, \u4E2D\u6587\u5B57\u7B26, \u0440\u0443\u0441\u0441\u043A\u0438\u0439, "
    "\U0001F600!  https://example.org/a?b=c&d=%20 <|end|> [INST] ...";

}  // namespace

std::string hash_weights(const Model& model) {
  std::string list;
  // Contents only: a renamed file is the same model.
  for (const fs::path& file : weight_files(model.path)) list += hash_file(file) + "\n";
  const ModelConfig& c = model.decoder->config();
  list += fmt::format("{} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {}\n", c.family, c.layers, c.d_model, c.heads,
                      c.kv_heads, c.d_h, c.d_ff, c.vocab, c.norm_eps, c.attention_scale, c.embedding_scale,
                      static_cast<int>(c.activation), c.tied_head, c.qk_norm, c.sandwich_norm, c.norm_plus_one);
  for (const LayerKind& kind : c.kinds) list += fmt::format("{} ", kind.window);
  return hash_bytes(list);
}

std::string hash_rope(const ModelConfig& config) {
  std::string text = fmt::format("{}\n{}\n{}\n", config.d_h, rope_text(config.rope), rope_text(config.local_rope));
  for (const LayerKind& kind : config.kinds) text += kind.local_rope ? 'l' : 'g';
  return hash_bytes(text);
}

std::string hash_tokenisation(const Tokenizer& tokenizer) {
  std::string text = hash_tokenizer(tokenizer) + "\n";
  // Word by word: a small vocabulary lacks some of them.
  for (std::string_view rest = kProbe; !rest.empty();) {
    const size_t end = std::min(rest.find(' ', 1), rest.size());
    try {
      text += fmt::format("{},", fmt::join(tokenizer.encode(rest.substr(0, end)), " "));
    } catch (const InputError&) {
      text += "-,";
    }
    rest.remove_prefix(end);
  }
  return hash_bytes(text);
}

std::map<std::string, std::string> identity_of(const Model& model) {
  return {{"model", hash_weights(model)},
          {"rope", hash_rope(model.decoder->config())},
          {"tokenizer", hash_tokenisation(*model.tokenizer)}};
}

}  // namespace steno
