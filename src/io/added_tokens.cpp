#include "io/added_tokens.h"

#include <algorithm>

namespace steno {
namespace {

// Begin of the character that ends before `end` (> 0).
size_t previous_character(std::string_view text, size_t end) {
  do --end;
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80);
  return end;
}

bool word_before(std::string_view text, size_t at) {
  if (at == 0) return false;
  size_t begin = previous_character(text, at);
  return is_word_character(next_character(text, begin));
}

bool word_at(std::string_view text, size_t at) {
  return at < text.size() && is_word_character(next_character(text, at));
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)), by_content_(tokens_.size()) {
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const std::string& content = tokens_[i].content;
    if (!by_content_.insert(content, static_cast<TokenId>(i))) continue;
    auto& lengths = lengths_[static_cast<uint8_t>(content[0])];
    const auto length = static_cast<uint32_t>(content.size());
    if (std::find(lengths.begin(), lengths.end(), length) == lengths.end()) lengths.push_back(length);
  }
  for (auto& lengths : lengths_) std::sort(lengths.begin(), lengths.end(), std::greater<>());
}

bool AddedTokens::next(std::string_view text, size_t from, size_t floor, Match& match) const {
  for (size_t at = from; at < text.size(); ++at) {
    for (const uint32_t length : lengths_[static_cast<uint8_t>(text[at])]) {
      if (length > text.size() - at) continue;
      const TokenId found = by_content_.find(text.substr(at, length));
      if (found == kNoToken) continue;
      const AddedToken& token = tokens_[found];
      match = {&token, at, at + length, at + length, true};
      if (token.single_word && (word_before(text, at) || word_at(text, at + length))) match.accepted = false;
      while (token.lstrip && match.begin > floor) {
        size_t begin = previous_character(text, match.begin), end = begin;
        if (begin < floor || !is_white_space(next_character(text, end))) break;
        match.begin = begin;
      }
      for (size_t end = match.end; token.rstrip && end < text.size() && is_white_space(next_character(text, end));)
        match.end = end;
      match.begin = std::max(match.begin, floor);
      match.resume = std::max(match.resume, match.end);
      return true;
    }
  }
  return false;
}

}  // namespace steno
