// Tokenizers from GGUF metadata. The reference for what the keys mean is llama.cpp (llama-vocab.cpp).
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/utf8.h"
#include "io/gguf.h"
#include "io/merges.h"
#include "io/shown.h"
#include "io/text_tokenizer.h"
#include "io/unicode.h"

namespace steno {
namespace {

constexpr char kGpt2[] = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S))";
constexpr char kLlama3[] =
    R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr char kQwen2[] =
    R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// The values of tokenizer.ggml.pre: patterns that cut one after the other.
struct PreKind {
  const char* name;
  std::vector<const char*> patterns;
  bool ignore_merges = false;
  bool add_bos = false;
};

const std::vector<PreKind>& pre_kinds() {
  static const std::vector<PreKind> kinds = {
      {"smollm", {R"(\p{N})", kGpt2}},
      {"gpt-2", {kGpt2}},
      {"default", {R"([\p{P}\$\+<=>\^~\|]+)", kGpt2, R"(\p{N}+)", "[0-9][0-9][0-9]"}},
      {"llama-bpe", {kLlama3}, true, true},
      {"llama3", {kLlama3}, true, true},
      {"llama-v3", {kLlama3}, true, true},
      {"qwen2", {kQwen2}},
  };
  return kinds;
}

const PreKind& find_pre_kind(const std::string& where, std::string_view name) {
  std::string known;
  for (const PreKind& kind : pre_kinds()) {
    if (kind.name == name) return kind;
    known += (known.empty() ? "" : ", ") + std::string(kind.name);
  }
  throw InputError("{}: tokenizer.ggml.pre '{}' is not supported; supported: {}", where, shown(name), known);
}

std::vector<TokenKind> read_kinds(const GgufFile& file, const std::vector<std::string_view>& tokens,
                                  const std::string& where) {
  const std::vector<int64_t> types = file.ints_or_empty("tokenizer.ggml.token_type");
  if (types.empty()) return std::vector<TokenKind>(tokens.size(), TokenKind::normal);
  std::vector<TokenKind> kinds;
  kinds.reserve(types.size());
  for (size_t id = 0; id < types.size(); ++id) {
    if (types[id] < 0 || types[id] > 6)
      throw InputError("{}: tokenizer.ggml.token_type of token {} is {}; known are 1 to 6", where, id, types[id]);
    kinds.push_back(types[id] == 0 ? TokenKind::normal : static_cast<TokenKind>(types[id]));
    // Some files call the token that ends a turn an ordinary one; as in llama.cpp, its name counts.
    if (id < tokens.size() && ends_generation(tokens[id])) kinds.back() = TokenKind::control;
  }
  return kinds;
}

std::optional<TokenId> read_id(const GgufFile& file, const char* key, const std::string& where, TokenId vocabulary) {
  if (!file.find(key)) return std::nullopt;
  const int64_t id = file.get_int(key);
  // 0xFFFFFFFF and -1 are written for "none".
  if (id == -1 || id == std::numeric_limits<uint32_t>::max()) return std::nullopt;
  if (id < 0 || id >= vocabulary)
    throw InputError("{}: {} is {}; the vocabulary has {} tokens", where, key, id, vocabulary);
  return static_cast<TokenId>(id);
}

// "left right" per line, in the order of their ranks.
MergeTable read_merges(const GgufFile& file, const Vocabulary& vocabulary, const std::string& where) {
  const auto& lines = file.get_strings("tokenizer.ggml.merges");
  if (lines.size() >= std::numeric_limits<uint32_t>::max()) throw InputError("{}: too many merges", where);
  MergeTable merges(lines.size());
  std::string joined;
  for (size_t rank = 0; rank < lines.size(); ++rank) {
    const std::string_view line = lines[rank];
    const size_t space = line.find(' ', 1);
    if (space == std::string_view::npos || space + 1 == line.size())
      throw InputError("{}: merge {} ('{}') is not of the form 'left right'", where, rank, shown(line));
    add_merge(merges, vocabulary, line.substr(0, space), line.substr(space + 1), rank, joined, where);
  }
  return merges;
}

// Every way to put a token together from two others (or characters) is a merge, the better score first.
MergeTable merges_of_scores(const Vocabulary& vocabulary, const std::vector<float>& scores,
                            std::vector<std::string>& extra_characters) {
  const auto mergeable = [&](TokenId id) {
    return vocabulary.is_ordinary(id) || vocabulary.kind(id) == TokenKind::user_defined;
  };
  std::vector<float> order;
  for (TokenId id = 0; id < vocabulary.size(); ++id)
    if (mergeable(id)) order.push_back(scores[id]);
  std::sort(order.begin(), order.end(), std::greater<>());
  order.erase(std::unique(order.begin(), order.end()), order.end());

  TokenIndex extra;
  std::vector<std::unique_ptr<std::string>> owned;
  const auto symbol = [&](std::string_view text) {
    const TokenId id = vocabulary.find(text);
    if (id != kNoToken && mergeable(id)) return id;
    if (text.size() != character_length(text[0])) return kNoToken;
    const TokenId known = extra.find(text);
    if (known != kNoToken) return known;
    owned.push_back(std::make_unique<std::string>(text));
    const TokenId fresh = vocabulary.size() + static_cast<TokenId>(extra_characters.size());
    extra.insert(*owned.back(), fresh);
    extra_characters.emplace_back(text);
    return fresh;
  };
  MergeTable merges(4 * static_cast<size_t>(vocabulary.size()));
  for (TokenId id = 0; id < vocabulary.size(); ++id) {
    const std::string_view token = vocabulary.token(id);
    if (!mergeable(id)) continue;
    const auto rank = static_cast<uint32_t>(std::lower_bound(order.begin(), order.end(), scores[id], std::greater<>()) -
                                            order.begin());
    for (size_t at = character_length(token[0]); at < token.size(); at += character_length(token[at])) {
      const TokenId left = symbol(token.substr(0, at));
      if (left == kNoToken) continue;
      const TokenId right = symbol(token.substr(at));
      if (right != kNoToken) merges.insert(left, right, {rank, id});
    }
  }
  return merges;
}

std::vector<AddedToken> added_tokens(const Vocabulary& vocabulary, bool phi3) {
  std::vector<AddedToken> added;
  for (TokenId id = 0; id < vocabulary.size(); ++id) {
    const TokenKind kind = vocabulary.kind(id);
    if (kind != TokenKind::control && kind != TokenKind::unknown && kind != TokenKind::user_defined) continue;
    AddedToken token{id, std::string(vocabulary.token(id))};
    token.special = kind != TokenKind::user_defined;
    // GGUF has no key for it: Phi-3's special tokens take the white space behind them, all but these.
    token.rstrip = phi3 && token.content != "<unk>" && token.content != "<s>" && token.content != "<|endoftext|>";
    added.push_back(std::move(token));
  }
  return added;
}

bool is_phi3(const GgufFile& file) {
  std::string name(file.string_or("general.name", ""));
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name.find("phi-3") != std::string::npos || name.find("phi3") != std::string::npos;
}

}  // namespace

std::shared_ptr<const Tokenizer> Tokenizer::from_gguf(const GgufFile& file) {
  TokenizerParts parts;
  parts.where = fmt::format("[tokenizer] {}", file.path().filename().string());
  const std::string& where = parts.where;
  const std::string_view model = file.get_string("tokenizer.ggml.model");
  const bool bpe = model == "gpt2";
  if (!bpe && model != "llama")
    throw InputError(
        "{}: tokenizer.ggml.model '{}' is not supported; supported: gpt2 (byte-level BPE), llama "
        "(SentencePiece BPE)",
        where, shown(model));

  const auto& tokens = file.get_strings("tokenizer.ggml.tokens");
  parts.vocabulary = std::make_unique<const Vocabulary>(tokens, read_kinds(file, tokens, where),
                                                        bpe ? Spelling::bytes : Spelling::space_marks, where);
  const Vocabulary& vocabulary = *parts.vocabulary;
  const auto id_at = [&](const char* key) { return read_id(file, key, where, vocabulary.size()); };
  parts.bos = id_at("tokenizer.ggml.bos_token_id");
  parts.eos = id_at("tokenizer.ggml.eos_token_id");
  parts.pad = id_at("tokenizer.ggml.padding_token_id");
  for (const char* key : {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"})
    if (const auto id = id_at(key)) parts.end_of_generation.push_back(*id);

  bool add_bos, add_eos = false, space_prefix = false;
  BpeModel::Options options;
  if (bpe) {
    const PreKind& pre = find_pre_kind(where, file.string_or("tokenizer.ggml.pre", "default"));
    parts.kind = fmt::format("bpe/{}", pre.name);
    std::vector<PreTokenizerStep> steps;
    for (const char* pattern : pre.patterns) steps.emplace_back(SplitByPattern{Pattern(pattern, where)});
    parts.pretokenizer = PreTokenizer(std::move(steps));
    options.ignore_merges = pre.ignore_merges;
    add_bos = pre.add_bos;
    parts.model = std::make_unique<const BpeModel>(vocabulary, read_merges(file, vocabulary, where), options);
  } else {
    parts.kind = "spm/llama";
    const std::vector<float> scores = file.floats_or_empty("tokenizer.ggml.scores");
    if (scores.size() != tokens.size())
      throw InputError("{}: {} tokens, but {} scores in tokenizer.ggml.scores", where, tokens.size(), scores.size());
    for (size_t id = 0; id < scores.size(); ++id)
      if (std::isnan(scores[id])) throw InputError("{}: the score of token {} is not a number", where, id);
    space_prefix = add_bos = true;
    options.byte_fallback = true;
    options.unknown = id_at("tokenizer.ggml.unknown_token_id");
    std::vector<std::string> extra;
    MergeTable merges = merges_of_scores(vocabulary, scores, extra);
    parts.model = std::make_unique<const BpeModel>(vocabulary, std::move(merges), options, std::move(extra));
  }
  add_bos = file.bool_or("tokenizer.ggml.add_bos_token", add_bos);
  add_eos = file.bool_or("tokenizer.ggml.add_eos_token", add_eos);
  space_prefix = file.bool_or("tokenizer.ggml.add_space_prefix", space_prefix);
  if (add_bos && !parts.bos)
    throw InputError("{}: BOS is to be added, but tokenizer.ggml.bos_token_id is missing", where);
  if (add_eos && !parts.eos)
    throw InputError("{}: EOS is to be added, but tokenizer.ggml.eos_token_id is missing", where);
  if (add_bos) parts.prefix.push_back(*parts.bos);
  if (add_eos) parts.suffix.push_back(*parts.eos);
  if (!bpe) {
    std::vector<NormalizerStep> steps;
    if (space_prefix) steps.emplace_back(Prepend{" "});
    steps.emplace_back(ReplaceText{" ", std::string(kSpaceMark)});
    parts.normalizer = Normalizer(std::move(steps));
    parts.strip_leading_space = space_prefix;
  }
  parts.added = AddedTokens(added_tokens(vocabulary, is_phi3(file)));
  parts.chat_template = file.string_or("tokenizer.chat_template", "");
  if (find_invalid_utf8(parts.chat_template) != std::string_view::npos)
    throw InputError("{}: tokenizer.chat_template is not valid UTF-8", where);
  return make_tokenizer(std::move(parts));
}

}  // namespace steno
