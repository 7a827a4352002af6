// Tokenizers from tokenizer.json. The reference for what the fields mean is the Python package tokenizers.
#include "io/tokenizer_json.h"

#include <limits>

#include "base/error.h"
#include "io/json.h"
#include "io/mapped_file.h"
#include "io/merges.h"
#include "io/shown.h"

namespace steno {
namespace {

using nlohmann::json;

struct ListedToken {
  AddedToken token;
  bool normalized;
};

std::vector<ListedToken> read_added(const JsonObject& file, size_t limit) {
  std::vector<ListedToken> added;
  if (!file.find("added_tokens")) return added;
  for (const json& item : file.get_array("added_tokens")) {
    const JsonObject entry(item, file.at("added_tokens"));
    const bool special = entry.bool_or("special", false);
    ListedToken listed{
        {json_id(entry.get("id"), limit, entry.at("id")), entry.get_string("content"), special,
         entry.bool_or("single_word", false), entry.bool_or("lstrip", false), entry.bool_or("rstrip", false)},
        entry.bool_or("normalized", !special)};
    if (listed.token.content.empty()) throw InputError("{}: an added token is empty", file.where());
    added.push_back(std::move(listed));
  }
  return added;
}

// Model vocabulary and added tokens as one list without holes. Views of `vocab`'s keys and of `added`.
std::unique_ptr<const Vocabulary> read_vocabulary(const json& vocab, const std::vector<ListedToken>& added,
                                                  bool byte_level, bool byte_fallback, const std::string& where) {
  const size_t limit = vocab.size() + added.size();
  std::vector<std::string_view> tokens(limit);
  std::vector<TokenKind> kinds(limit, TokenKind::normal);
  size_t count = 0;
  const auto place = [&](std::string_view token, TokenId id) {
    if (tokens[id] == token && !token.empty()) return;
    if (!tokens[id].empty())
      throw InputError("{}: id {} is given to '{}' and to '{}'", where, id, shown(tokens[id]), shown(token));
    tokens[id] = token;
    count = std::max(count, static_cast<size_t>(id) + 1);
  };
  for (auto entry = vocab.begin(); entry != vocab.end(); ++entry) {
    const std::string& token = entry.key();
    if (token.empty()) throw InputError("{}: model.vocab: a token is empty", where);
    const TokenId id = json_id(entry.value(), limit, where + ": model.vocab");
    place(token, id);
    if (byte_fallback && byte_of_byte_token(token)) kinds[id] = TokenKind::byte;
  }
  for (const auto& [token, normalized] : added) {
    place(token.content, token.id);
    kinds[token.id] = token.special ? TokenKind::control : TokenKind::user_defined;
  }
  tokens.resize(count);
  kinds.resize(count);
  for (size_t id = 0; id < count; ++id)
    if (tokens[id].empty()) throw InputError("{}: no token has id {}; ids must follow without a gap", where, id);
  return std::make_unique<const Vocabulary>(tokens, std::move(kinds),
                                            byte_level ? Spelling::bytes : Spelling::space_marks, where);
}

MergeTable read_merges(const JsonObject& model, const Vocabulary& vocabulary) {
  const json& list = model.get_array("merges");
  MergeTable merges(list.size());
  std::string joined;
  for (size_t rank = 0; rank < list.size(); ++rank) {
    const json& item = list[rank];
    std::string_view left, right;
    if (item.is_string()) {
      const std::string_view line = item.get_ref<const std::string&>();
      const size_t space = line.find(' ');
      if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos)
        throw InputError("{}: merge {} ('{}') is not of the form 'left right'", model.where(), rank, shown(line));
      left = line.substr(0, space);
      right = line.substr(space + 1);
    } else if (item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_string()) {
      left = item[0].get_ref<const std::string&>();
      right = item[1].get_ref<const std::string&>();
    } else {
      throw InputError("{}: merge {} is neither a text nor a pair of texts", model.where(), rank);
    }
    add_merge(merges, vocabulary, left, right, rank, joined, model.where());
  }
  return merges;
}

void check_model(const JsonObject& model) {
  const std::string type = model.string_or("type", model.find("merges") ? "BPE" : "none");
  if (type != "BPE") throw InputError("{}: model '{}' is not supported; supported: BPE", model.where(), shown(type));
  if (const json* dropout = model.find("dropout"); dropout && *dropout != 0)
    throw InputError("{}: dropout is not supported", model.where());
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (!model.string_or(key, "").empty()) throw InputError("{}: not supported", model.at(key));
  if (!model.get("vocab").is_object()) throw InputError("{}: not an object", model.at("vocab"));
}

// "bos_token" and its like: a text, or an object with "content".
std::optional<TokenId> named_token(const JsonObject& config, const char* key, const Vocabulary& vocabulary) {
  const json* value = config.find(key);
  if (!value) return std::nullopt;
  const std::string text =
      value->is_object() ? JsonObject(*value, config.at(key)).get_string("content") : config.get_string(key);
  const TokenId id = vocabulary.find(text);
  if (id == kNoToken) throw InputError("{}: '{}' is not in the vocabulary", config.at(key), shown(text));
  return id;
}

// A text, or a list of named templates of which "default" counts.
std::string read_template(const JsonObject& config) {
  const json* value = config.find("chat_template");
  if (!value) return {};
  if (!value->is_array()) return config.get_string("chat_template");
  for (const json& item : *value) {
    const JsonObject entry(item, config.at("chat_template"));
    if (entry.get_string("name") == "default") return entry.get_string("template");
  }
  return {};
}

std::string read_text(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

JsonObject::JsonObject(const json& value, std::string where) : value_(&value), where_(std::move(where)) {
  if (!value.is_object()) throw InputError("{}: not an object", where_);
}

const json* JsonObject::find(const char* key) const {
  const auto found = value_->find(key);
  return found == value_->end() || found->is_null() ? nullptr : &*found;
}

const json& JsonObject::get(const char* key) const {
  if (const json* value = find(key)) return *value;
  throw InputError("{}: '{}' is missing", where_, shown(key));
}

bool JsonObject::bool_or(const char* key, bool fallback) const {
  const json* value = find(key);
  if (value && !value->is_boolean()) throw InputError("{}: neither true nor false", at(key));
  return value ? value->get<bool>() : fallback;
}

std::string JsonObject::get_string(const char* key) const {
  const json& value = get(key);
  if (!value.is_string()) throw InputError("{}: not a text", at(key));
  return value.get<std::string>();
}

std::string JsonObject::string_or(const char* key, const char* fallback) const {
  return find(key) ? get_string(key) : fallback;
}

const json& JsonObject::get_array(const char* key) const {
  const json& value = get(key);
  if (!value.is_array()) throw InputError("{}: not a list", at(key));
  return value;
}

TokenId json_id(const json& value, size_t limit, const std::string& where) {
  if (!value.is_number_unsigned()) throw InputError("{}: a token id is not a whole number from 0", where);
  const auto id = value.get<uint64_t>();
  if (id >= limit)
    throw InputError("{}: token id {} is out of range; there are {} tokens, and ids must follow without a gap", where,
                     id, limit);
  return static_cast<TokenId>(id);
}

std::shared_ptr<const Tokenizer> tokenizer_from_json(std::string_view tokenizer_json, std::string_view config_json,
                                                     const std::string& name, std::string_view chat_template) {
  TokenizerParts parts;
  parts.where = "[tokenizer] " + name;
  const json tree = parse_json(tokenizer_json, parts.where);
  const JsonObject file(tree, parts.where);
  const JsonObject model = file.get_object("model");
  check_model(model);
  const size_t listed = file.find("added_tokens") ? file.get_array("added_tokens").size() : 0;
  const size_t limit = model.get("vocab").size() + listed;
  if (limit >= static_cast<size_t>(std::numeric_limits<TokenId>::max() / 2))
    throw InputError("{}: {} tokens are more than ids can number", parts.where, limit);

  PreTokenizerReading words = read_pretokenizer(file.find("pre_tokenizer"), file.at("pre_tokenizer"));
  const DecoderReading decoder = read_decoder(file.find("decoder"), file.at("decoder"));
  if (decoder.byte_level && !words.byte_level)
    throw InputError("{}: the decoder is ByteLevel, the pre_tokenizer is not", parts.where);
  parts.pretokenizer = PreTokenizer(std::move(words.steps));
  parts.normalizer = Normalizer(read_normalizer(file.find("normalizer"), file.at("normalizer")));
  parts.strip_leading_space = decoder.strips_leading_space;

  const std::vector<ListedToken> added = read_added(file, limit);
  BpeModel::Options options;
  options.ignore_merges = model.bool_or("ignore_merges", false);
  options.byte_fallback = model.bool_or("byte_fallback", false);
  options.fuse_unknown = model.bool_or("fuse_unk", false);
  parts.vocabulary = read_vocabulary(model.get("vocab"), added, words.byte_level, options.byte_fallback, parts.where);
  const Vocabulary& vocabulary = *parts.vocabulary;
  if (const std::string unknown = model.string_or("unk_token", ""); !unknown.empty()) {
    const TokenId id = vocabulary.find(unknown);
    if (id == kNoToken) throw InputError("{}: unk_token '{}' is not in the vocabulary", model.where(), shown(unknown));
    options.unknown = id;
  }
  parts.model = std::make_unique<const BpeModel>(vocabulary, read_merges(model, vocabulary), options);
  parts.kind = words.byte_level ? "bpe/tokenizer.json" : "spm/tokenizer.json";

  PostProcessorReading around =
      read_post_processor(file.find("post_processor"), vocabulary.size(), file.at("post_processor"));
  parts.prefix = std::move(around.prefix);
  parts.suffix = std::move(around.suffix);

  std::vector<AddedToken> raw, normalized;
  for (const ListedToken& one : added) {
    (one.normalized ? normalized : raw).push_back(one.token);
    if (!one.normalized) continue;
    std::string buffer;
    normalized.back().content = parts.normalizer.apply(one.token.content, {.after_text = true}, buffer);
    if (normalized.back().content.empty()) normalized.pop_back();
  }
  parts.added = AddedTokens(std::move(raw));
  parts.added_normalized = AddedTokens(std::move(normalized));

  if (!config_json.empty()) {
    const std::string where = parts.where + ": tokenizer_config.json";
    const json config_tree = parse_json(config_json, where);
    const JsonObject config(config_tree, where);
    parts.bos = named_token(config, "bos_token", vocabulary);
    parts.eos = named_token(config, "eos_token", vocabulary);
    parts.pad = named_token(config, "pad_token", vocabulary);
    parts.chat_template = read_template(config);
  }
  if (!parts.bos && !parts.prefix.empty()) parts.bos = parts.prefix.front();
  if (!parts.eos && !parts.suffix.empty()) parts.eos = parts.suffix.back();
  if (parts.chat_template.empty()) parts.chat_template = chat_template;
  return make_tokenizer(std::move(parts));
}

std::shared_ptr<const Tokenizer> Tokenizer::from_json(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  const bool folder = fs::is_directory(path);
  const fs::path file = folder ? path / "tokenizer.json" : path;
  if (folder && !fs::exists(file)) throw InputError("[tokenizer] {}: no tokenizer.json in this folder", path.string());
  // What stands beside it belongs to it when it has the name that a model folder gives it.
  const fs::path beside = file.parent_path();
  const bool has_company = file.filename() == "tokenizer.json";
  const auto text_of = [&](const char* name) {
    return has_company && fs::exists(beside / name) ? read_text(beside / name) : std::string();
  };
  return tokenizer_from_json(read_text(file), text_of("tokenizer_config.json"), file.string(),
                             text_of("chat_template.jinja"));
}

}  // namespace steno
