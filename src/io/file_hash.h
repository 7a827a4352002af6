// Names for contents: what a run record or a saved memory belongs to.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>

namespace steno {

class Tokenizer;

// XXH3-128 of the bytes, as 32 hexadecimal digits. It tells versions apart; it is no protection against forgery.
std::string hash_bytes(std::string_view bytes);
// Of one file. Throws InputError.
std::string hash_file(const std::filesystem::path& path);
// Of everything that decides which ids a text becomes, as far as the interface shows it: kind, special ids, and the
// spelling of every id. Merge ranks are not visible; where they matter use the model's hash as well.
std::string hash_tokenizer(const Tokenizer& tokenizer);

}  // namespace steno
