// Encodes texts for tests/parity/tokenizer_parity.py and bench/tokenizer_speed.py.
//   steno_encode_lines TOKENIZER [ROUNDS] < texts > ids
// stdin: per text a little-endian uint32 length and its bytes. stdout: per text a uint32 count and int32 ids, without
// special tokens. stderr: the seconds that loading and each round of encoding took.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <iterator>

#include "base/error.h"
#include "base/process.h"
#include "io/gguf.h"
#include "io/tokenizer.h"

namespace steno {
namespace {

std::vector<std::string_view> split_texts(std::string_view input) {
  std::vector<std::string_view> texts;
  while (!input.empty()) {
    uint32_t length = 0;
    if (input.size() < sizeof(length)) throw InputError("stdin ends inside a length");
    std::memcpy(&length, input.data(), sizeof(length));
    input.remove_prefix(sizeof(length));
    if (input.size() < length) throw InputError("stdin ends inside a text");
    texts.push_back(input.substr(0, length));
    input.remove_prefix(length);
  }
  return texts;
}

int run(const std::string& path, int rounds) {
  std::ios::sync_with_stdio(false);
  const std::string input{std::istreambuf_iterator<char>(std::cin), {}};
  const std::vector<std::string_view> texts = split_texts(input);
  std::shared_ptr<const GgufFile> file;
  if (path.ends_with(".gguf")) file = GgufFile::open(path);
  Stopwatch loading;
  const auto tokenizer = file ? Tokenizer::from_gguf(*file) : Tokenizer::from_json(path);
  std::fprintf(stderr, "load_s %.6f\n", loading.seconds());
  std::vector<std::vector<TokenId>> ids(texts.size());
  for (int round = 0; round < rounds; ++round) {
    Stopwatch encoding;
    for (size_t i = 0; i < texts.size(); ++i)
      ids[i] = tokenizer->encode(texts[i], {.add_special = false, .parse_special = false});
    std::fprintf(stderr, "encode_s %.6f\n", encoding.seconds());
  }
  for (const auto& one : ids) {
    const auto count = static_cast<uint32_t>(one.size());
    std::fwrite(&count, sizeof(count), 1, stdout);
    std::fwrite(one.data(), sizeof(TokenId), one.size(), stdout);
  }
  return std::fflush(stdout) == 0 ? 0 : 4;
}

}  // namespace
}  // namespace steno

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s TOKENIZER [ROUNDS]\n", argv[0]);
    return 2;
  }
  try {
    return steno::run(argv[1], argc > 2 ? std::atoi(argv[2]) : 1);
  } catch (const steno::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return static_cast<int>(error.code());
  }
}
