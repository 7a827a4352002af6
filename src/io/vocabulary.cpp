#include "io/vocabulary.h"

#include <limits>

#include "base/error.h"
#include "base/utf8.h"
#include "io/shown.h"
#include "io/unicode.h"

namespace steno {
namespace {

// Appends what the token adds to a text.
void append_piece(std::string& out, std::string_view token, TokenKind kind, Spelling spelling) {
  if (spelling == Spelling::bytes) {
    // Added tokens are plain text; a spelling outside the byte alphabet can only be meant as plain text too.
    if ((kind != TokenKind::normal && kind != TokenKind::unused) || !append_bytes_of_spelling(out, token)) out += token;
    return;
  }
  if (kind == TokenKind::byte) {
    out += static_cast<char>(byte_of_byte_token(token).value());
    return;
  }
  for (size_t at = 0; at < token.size();) {
    const bool mark = token.substr(at).starts_with(kSpaceMark);
    out += mark ? ' ' : token[at];
    at += mark ? kSpaceMark.size() : 1;
  }
}

}  // namespace

Vocabulary::Vocabulary(const std::vector<std::string_view>& spellings, std::vector<TokenKind> kinds, Spelling spelling,
                       const std::string& where)
    : kinds_(std::move(kinds)), by_spelling_(spellings.size()), spelling_(spelling) {
  const size_t count = spellings.size();
  if (count == 0) throw InputError("{}: the vocabulary is empty", where);
  if (count >= static_cast<size_t>(std::numeric_limits<TokenId>::max() / 2))
    throw InputError("{}: {} tokens are more than ids can number", where, count);
  if (kinds_.size() != count) throw InputError("{}: {} tokens, but {} token types", where, count, kinds_.size());

  size_t bytes = 0;
  for (const auto& token : spellings) bytes += token.size();
  arena_.reserve(2 * bytes);  // no piece is longer than its spelling, so the views below stay where they are
  tokens_.reserve(count);
  pieces_.reserve(count);
  for (size_t id = 0; id < count; ++id) {
    if (find_invalid_utf8(spellings[id]) != std::string_view::npos)
      throw InputError("{}: token {} is not valid UTF-8", where, id);
    if (spellings[id].empty()) throw InputError("{}: token {} is empty", where, id);
    if (kinds_[id] == TokenKind::byte && !byte_of_byte_token(spellings[id]))
      throw InputError("{}: token {} ('{}') is called a byte token; it is not of the form <0x0A>", where, id,
                       shown(spellings[id]));
    const size_t begin = arena_.size();
    arena_ += spellings[id];
    tokens_.emplace_back(arena_.data() + begin, spellings[id].size());
    if (!by_spelling_.insert(tokens_.back(), static_cast<TokenId>(id)))
      throw InputError("{}: tokens {} and {} are both '{}'", where, find(tokens_.back()), id, shown(tokens_.back()));
  }
  for (size_t id = 0; id < count; ++id) {
    const size_t begin = arena_.size();
    append_piece(arena_, tokens_[id], kinds_[id], spelling_);
    pieces_.emplace_back(arena_.data() + begin, arena_.size() - begin);
  }
}

}  // namespace steno
