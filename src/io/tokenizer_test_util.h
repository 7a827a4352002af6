// For tests only: the tokenizers of tests/data/tokenizers.
#pragma once
#include <zstd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "io/gguf.h"
#include "io/tokenizer.h"
#include "io/tokenizer_json.h"

namespace steno::test {

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline std::filesystem::path tokenizer_data() {
  return std::filesystem::path(STENO_SOURCE_DIR) / "tests/data/tokenizers";
}

inline std::shared_ptr<const Tokenizer> load_tokenizer(const std::string& name) {
  const auto path = tokenizer_data() / name;
  if (name.ends_with(".gguf")) return Tokenizer::from_gguf(*GgufFile::open(path));
  if (!name.ends_with(".zst")) return Tokenizer::from_json(path);
  const std::string packed = read_file(path);
  std::string text(ZSTD_getFrameContentSize(packed.data(), packed.size()), '\0');
  const size_t size = ZSTD_decompress(text.data(), text.size(), packed.data(), packed.size());
  if (ZSTD_isError(size)) throw std::runtime_error(ZSTD_getErrorName(size));
  return tokenizer_from_json(text, "", name);
}

}  // namespace steno::test
