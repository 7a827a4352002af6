#include "io/file_hash.h"

#include <xxhash.h>

#include "base/error.h"
#include "io/mapped_file.h"
#include "io/tokenizer.h"

namespace steno {
namespace {

std::string digits(XXH128_hash_t hash) {
  XXH128_canonical_t bytes;
  XXH128_canonicalFromHash(&bytes, hash);
  std::string text;
  for (const unsigned char byte : bytes.digest) text += fmt::format("{:02x}", byte);
  return text;
}

}  // namespace

std::string hash_bytes(std::string_view bytes) { return digits(XXH3_128bits(bytes.data(), bytes.size())); }

std::string hash_file(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  return digits(XXH3_128bits(file->bytes().data(), file->bytes().size()));
}

std::string hash_tokenizer(const Tokenizer& tokenizer) {
  const auto id_text = [](std::optional<TokenId> id) { return id ? std::to_string(*id) : std::string("none"); };
  std::string all = tokenizer.kind() + "\n" + id_text(tokenizer.bos()) + "\n" + id_text(tokenizer.eos()) + "\n" +
                    (tokenizer.adds_bos() ? "adds bos" : "") + "\n";
  for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
    all += tokenizer.token(id);
    all += tokenizer.is_special(id) ? '\1' : '\0';
  }
  return hash_bytes(all);
}

}  // namespace steno
