#include "io/text_tokenizer.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/utf8.h"

namespace steno {
namespace {

class TextTokenizer final : public Tokenizer {
 public:
  explicit TextTokenizer(TokenizerParts parts) : parts_(std::move(parts)) {}

  std::vector<TokenId> encode(std::string_view text, EncodeOptions options) const override {
    std::vector<TokenId> ids;
    ids.reserve(text.size() / 4 + 4);
    if (options.add_special) ids = parts_.prefix;
    try {
      encode_runs(text, options, ids);
    } catch (const NoTokenForByte& missing) {
      report(text, missing);
    }
    if (options.add_special) ids.insert(ids.end(), parts_.suffix.begin(), parts_.suffix.end());
    return ids;
  }

  std::string decode(std::span<const TokenId> ids, bool skip_special) const override {
    std::string text;
    bool at_start = parts_.strip_leading_space;
    for (const TokenId id : ids) {
      check(id);
      if (skip_special && is_special(id)) continue;
      std::string_view piece = parts_.vocabulary->piece(id);
      if (at_start && piece.starts_with(' ')) piece.remove_prefix(1);
      text += piece;
      at_start = false;
    }
    return text;
  }

  std::string piece(TokenId id) const override { return std::string(parts_.vocabulary->piece(check(id))); }
  std::string_view token(TokenId id) const override { return parts_.vocabulary->token(check(id)); }
  std::optional<TokenId> find(std::string_view token) const override {
    const TokenId id = parts_.vocabulary->find(token);
    return id == kNoToken ? std::nullopt : std::optional(id);
  }
  int64_t vocab_size() const override { return parts_.vocabulary->size(); }
  bool is_special(TokenId id) const override { return parts_.vocabulary->is_special(check(id)); }
  std::optional<TokenId> bos() const override { return parts_.bos; }
  std::optional<TokenId> eos() const override { return parts_.eos; }
  std::optional<TokenId> pad() const override { return parts_.pad; }
  bool adds_bos() const override {
    return parts_.bos && std::ranges::find(parts_.prefix, *parts_.bos) != parts_.prefix.end();
  }
  const std::vector<TokenId>& end_of_generation() const override { return parts_.end_of_generation; }
  std::string_view chat_template() const override { return parts_.chat_template; }
  std::string kind() const override { return parts_.kind; }

 private:
  TokenId check(TokenId id) const {
    if (!parts_.vocabulary->contains(id))
      throw InputError("{}: {} is no token id; the vocabulary has {}", parts_.where, id, parts_.vocabulary->size());
    return id;
  }

  // Runs of valid UTF-8 go through the whole pipeline, the bytes between them straight to byte tokens.
  void encode_runs(std::string_view text, EncodeOptions options, std::vector<TokenId>& ids) const {
    TextPlace place;
    while (!text.empty()) {
      const size_t valid = std::min(find_invalid_utf8(text), text.size());
      if (valid > 0) encode_valid(text.substr(0, valid), options, place, ids);
      text.remove_prefix(valid);
      if (text.empty()) return;
      parts_.model->encode_bytes(text.substr(0, 1), ids);
      text.remove_prefix(1);
      place = {.at_start = false, .after_text = true};
    }
  }

  void encode_valid(std::string_view text, EncodeOptions options, TextPlace place, std::vector<TokenId>& ids) const {
    std::string buffer;
    const auto words = [&](std::string_view part) {
      parts_.pretokenizer.run(part, place, [&](std::string_view word) { parts_.model->encode(word, ids); });
      place = {.at_start = false, .after_text = true};
    };
    const auto token = [&](TokenId id) {
      ids.push_back(id);
      place = {.at_start = false, .after_text = false};
    };
    const auto normalized = [&](std::string_view part) {
      const std::string_view ready = parts_.normalizer.apply(part, place, buffer);
      parts_.added_normalized.split(ready, options.parse_special, words, token);
    };
    parts_.added.split(text, options.parse_special, normalized, token);
  }

  [[noreturn]] void report(std::string_view text, const NoTokenForByte& missing) const {
    const char* at = missing.at;
    const bool inside = std::greater_equal<>()(at, text.data()) && std::less<>()(at, text.data() + text.size());
    // A normaliser may have moved or made the byte; then its first occurrence is the best that can be said.
    const size_t offset = inside ? static_cast<size_t>(at - text.data()) : text.find(static_cast<char>(missing.byte));
    throw InputError("{}: no token for byte 0x{:02X} at offset {} of the text", parts_.where, missing.byte,
                     offset == std::string_view::npos ? 0 : offset);
  }

  TokenizerParts parts_;
};

}  // namespace

bool ends_generation(std::string_view token) {
  static constexpr std::array<std::string_view, 10> kNames = {
      "<|im_end|>",    "<|eot_id|>",      "<|eom_id|>", "<|end|>", "<end_of_turn>",
      "<|endoftext|>", "<|end_of_text|>", "<eos>",      "</s>",    "<|eot|>"};
  return std::ranges::find(kNames, token) != kNames.end();
}

std::shared_ptr<const Tokenizer> make_tokenizer(TokenizerParts parts) {
  const Vocabulary& vocabulary = *parts.vocabulary;
  const auto check = [&](const char* what, TokenId id) {
    if (!vocabulary.contains(id))
      throw InputError("{}: {} is {}; the vocabulary has {} tokens", parts.where, what, id, vocabulary.size());
  };
  if (parts.bos) check("the BOS token", *parts.bos);
  if (parts.eos) check("the EOS token", *parts.eos);
  if (parts.pad) check("the padding token", *parts.pad);
  for (const TokenId id : parts.prefix) check("a token before the text", id);
  for (const TokenId id : parts.suffix) check("a token after the text", id);

  std::vector<TokenId>& ends = parts.end_of_generation;
  for (const TokenId id : ends) check("a token that ends a generation", id);
  if (parts.eos && std::ranges::find(ends, *parts.eos) == ends.end()) ends.push_back(*parts.eos);
  for (TokenId id = 0; id < vocabulary.size(); ++id) {
    if (vocabulary.is_ordinary(id) || !ends_generation(vocabulary.token(id))) continue;
    if (std::ranges::find(ends, id) == ends.end()) ends.push_back(id);
  }
  return std::make_shared<const TextTokenizer>(std::move(parts));
}

}  // namespace steno
