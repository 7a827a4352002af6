#include "io/bpe_model.h"

#include "io/unicode.h"

namespace steno {
namespace {

// True when "▁" stands in the token behind something else.
bool has_inner_mark(std::string_view token) {
  while (token.starts_with(kSpaceMark)) token.remove_prefix(kSpaceMark.size());
  return token.find(kSpaceMark) != std::string_view::npos;
}

}  // namespace

BpeModel::BpeModel(const Vocabulary& vocabulary, MergeTable merges, Options options,
                   std::vector<std::string> extra_characters)
    : vocabulary_(vocabulary),
      merges_(std::move(merges)),
      options_(options),
      extra_characters_(std::move(extra_characters)),
      words_(vocabulary.size()),
      whole_(new std::atomic<uint8_t>[vocabulary.size()]()) {
  byte_tokens_.fill(kNoToken);
  ascii_.fill(kNoToken);
  const bool bytes = vocabulary.spelling() == Spelling::bytes;
  cut_at_marks_ = !bytes;
  for (TokenId id = 0; id < vocabulary.size(); ++id) {
    const std::string_view token = vocabulary.token(id);
    if (!bytes && byte_of_byte_token(token) && (options.byte_fallback || vocabulary.kind(id) == TokenKind::byte))
      byte_tokens_[*byte_of_byte_token(token)] = id;
    const bool mergeable = vocabulary.is_ordinary(id) || (!bytes && vocabulary.kind(id) == TokenKind::user_defined);
    if (!mergeable) continue;
    words_.insert(bytes ? vocabulary.piece(id) : token, id);
    if (bytes) {
      if (vocabulary.piece(id).size() == 1) byte_tokens_[static_cast<uint8_t>(vocabulary.piece(id)[0])] = id;
      continue;
    }
    if (token.size() == character_length(token[0])) characters_.insert(token, id);
    if (has_inner_mark(token)) cut_at_marks_ = false;
  }
  for (size_t i = 0; i < extra_characters_.size(); ++i)
    characters_.insert(extra_characters_[i], vocabulary.size() + static_cast<TokenId>(i));
  for (int c = 0; !bytes && c < 128; ++c) {
    const char character = static_cast<char>(c);
    ascii_[c] = characters_.find({&character, 1});
  }
}

void BpeModel::encode(std::string_view word, std::vector<TokenId>& out) const {
  if (!cut_at_marks_ || options_.ignore_merges) return encode_part(word, out);
  size_t begin = 0;
  for (size_t at = word.find(kSpaceMark); at != std::string_view::npos; at = word.find(kSpaceMark, at)) {
    if (at > begin) encode_part(word.substr(begin, at - begin), out);
    begin = at;
    while (word.substr(at).starts_with(kSpaceMark)) at += kSpaceMark.size();
  }
  if (begin < word.size()) encode_part(word.substr(begin), out);
}

// A word that is a token is found at once, when the merges are known to lead to that token.
bool BpeModel::is_whole_word(TokenId id, std::string_view word) const {
  if (options_.ignore_merges) return true;
  std::atomic<uint8_t>& state = whole_[id];
  uint8_t known = state.load(std::memory_order_relaxed);
  if (known == 0) {
    std::vector<TokenId> symbols;
    split_symbols(word, symbols);
    merges_.apply(symbols);
    known = symbols.size() == 1 && symbols[0] == id ? 1 : 2;
    state.store(known, std::memory_order_relaxed);  // every thread comes to the same answer
  }
  return known == 1;
}

void BpeModel::split_symbols(std::string_view word, std::vector<TokenId>& symbols) const {
  if (vocabulary_.spelling() == Spelling::bytes) {
    for (const char& c : word) {
      const TokenId id = byte_tokens_[static_cast<uint8_t>(c)];
      if (id == kNoToken) throw NoTokenForByte{&c};
      symbols.push_back(id);
    }
    return;
  }
  bool after_unknown = false;
  for (size_t at = 0; at < word.size();) {
    const size_t length = character_length(word[at]);
    const std::string_view character = word.substr(at, length);
    at += length;
    const TokenId id = length == 1 ? ascii_[static_cast<uint8_t>(character[0])] : characters_.find(character);
    if (id != kNoToken) {
      symbols.push_back(id);
      after_unknown = false;
      continue;
    }
    bool has_bytes = true;
    for (const char c : character) has_bytes &= byte_tokens_[static_cast<uint8_t>(c)] != kNoToken;
    if (has_bytes) {
      for (const char c : character) symbols.push_back(byte_tokens_[static_cast<uint8_t>(c)]);
    } else if (!options_.unknown) {
      throw NoTokenForByte{character.data()};
    } else if (!(after_unknown && options_.fuse_unknown)) {
      symbols.push_back(*options_.unknown);
    }
    after_unknown = !has_bytes;
  }
}

void BpeModel::encode_part(std::string_view part, std::vector<TokenId>& out) const {
  const TokenId whole = words_.find(part);
  if (whole != kNoToken && is_whole_word(whole, part)) {
    out.push_back(whole);
    return;
  }
  thread_local std::vector<TokenId> symbols;
  symbols.clear();
  split_symbols(part, symbols);
  merges_.apply(symbols);
  for (const TokenId id : symbols) {
    if (id < vocabulary_.size())
      out.push_back(id);
    else
      encode_bytes(extra_characters_[id - vocabulary_.size()], out);
  }
  if (symbols.capacity() > 1 << 20) std::vector<TokenId>().swap(symbols);
}

void BpeModel::encode_bytes(std::string_view bytes, std::vector<TokenId>& out) const {
  for (const char& c : bytes) {
    const TokenId id = byte_tokens_[static_cast<uint8_t>(c)];
    if (id != kNoToken)
      out.push_back(id);
    else if (options_.unknown)
      out.push_back(*options_.unknown);
    else
      throw NoTokenForByte{&c};
  }
}

}  // namespace steno
