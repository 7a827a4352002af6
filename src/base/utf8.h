// UTF-8 at the border: what is valid, and where a cut would split a character.
#pragma once
#include <cstddef>
#include <string_view>

namespace steno {

// Byte offset of the first byte that is not part of valid UTF-8 (no overlong forms, no surrogates), or npos.
size_t find_invalid_utf8(std::string_view text);
// Length of the longest prefix that ends at a character border; a cut-off character at the end is left out.
// Bytes that can never become valid count as complete.
size_t complete_utf8_prefix(std::string_view text);

}  // namespace steno
