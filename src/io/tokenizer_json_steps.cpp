// The steps of tokenizer.json: normalizer, pre_tokenizer, decoder, post_processor.
#include "base/error.h"
#include "io/shown.h"
#include "io/tokenizer_json.h"

namespace steno {
namespace {

using nlohmann::json;

constexpr char kByteLevelPattern[] = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

[[noreturn]] void refuse(const JsonObject& object, const std::string& type, const char* supported) {
  throw InputError("{}: '{}' is not supported; supported: {}", object.where(), shown(type), supported);
}

// {"String": ...} or {"Regex": ...}; the text and whether it is a regular expression.
std::pair<std::string, bool> read_pattern(const JsonObject& object) {
  const JsonObject pattern = object.get_object("pattern");
  if (pattern.find("Regex")) return {pattern.get_string("Regex"), true};
  const std::string text = pattern.get_string("String");
  if (text.empty()) throw InputError("{}: the pattern is empty", object.where());
  return {text, false};
}

std::string escape_pattern(std::string_view literal) {
  std::string out;
  for (const char c : literal) {
    if (static_cast<uint8_t>(c) < 0x80 && !std::isalnum(static_cast<unsigned char>(c))) out += '\\';
    out += c;
  }
  return out;
}

SplitBehavior read_behavior(const JsonObject& object, const char* fallback) {
  const std::string name = object.string_or("behavior", fallback);
  if (name == "Isolated") return SplitBehavior::isolated;
  if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
  if (name == "Contiguous") return SplitBehavior::contiguous;
  if (name == "Removed")
    throw InputError("{}: behavior 'Removed' drops parts of the text and is not supported", object.where());
  throw InputError("{}: unknown behavior '{}'", object.where(), shown(name));
}

// The members of a Sequence, each with its own place for messages; a single step is a sequence of one.
template <class Use>
void each_step(const json* value, const std::string& where, const char* list, Use&& use) {
  if (!value) return;
  const JsonObject object(*value, where);
  if (object.get_string("type") != "Sequence") return use(object);
  const json& members = object.get_array(list);
  for (size_t i = 0; i < members.size(); ++i) each_step(&members[i], fmt::format("{}[{}]", where, i), list, use);
}

Metaspace read_metaspace(const JsonObject& object) {
  Metaspace step;
  step.mark = object.string_or("replacement", "\xE2\x96\x81");
  if (step.mark != kSpaceMark) throw InputError("{}: the replacement must be '{}'", object.where(), kSpaceMark);
  const bool legacy = object.bool_or("add_prefix_space", true);
  const std::string scheme = object.string_or("prepend_scheme", legacy ? "always" : "never");
  if (scheme == "first")
    step.front = Metaspace::Front::first;
  else if (scheme == "never")
    step.front = Metaspace::Front::never;
  else if (scheme != "always")
    throw InputError("{}: unknown prepend_scheme '{}'", object.where(), shown(scheme));
  step.split = object.bool_or("split", true);
  return step;
}

}  // namespace

std::vector<NormalizerStep> read_normalizer(const json* value, const std::string& where) {
  std::vector<NormalizerStep> steps;
  each_step(value, where, "normalizers", [&](const JsonObject& object) {
    const std::string type = object.get_string("type");
    if (type == "NFC")
      steps.emplace_back(UnicodeForm::nfc);
    else if (type == "NFD")
      steps.emplace_back(UnicodeForm::nfd);
    else if (type == "NFKC")
      steps.emplace_back(UnicodeForm::nfkc);
    else if (type == "NFKD")
      steps.emplace_back(UnicodeForm::nfkd);
    else if (type == "Lowercase")
      steps.emplace_back(Lowercase{});
    else if (type == "StripAccents")
      steps.emplace_back(StripAccents{});
    else if (type == "Strip")
      steps.emplace_back(StripSpace{object.bool_or("strip_left", true), object.bool_or("strip_right", true)});
    else if (type == "Prepend")
      steps.emplace_back(Prepend{object.get_string("prepend")});
    else if (type == "Replace") {
      auto [pattern, regex] = read_pattern(object);
      const std::string content = object.get_string("content");
      if (regex)
        steps.emplace_back(ReplacePattern{Pattern(pattern, object.where()), content});
      else
        steps.emplace_back(ReplaceText{pattern, content});
    } else {
      refuse(object, type, "NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Strip, Prepend, Replace, Sequence");
    }
  });
  return steps;
}

PreTokenizerReading read_pretokenizer(const json* value, const std::string& where) {
  PreTokenizerReading reading;
  each_step(value, where, "pretokenizers", [&](const JsonObject& object) {
    const std::string type = object.get_string("type");
    if (reading.byte_level) throw InputError("{}: no step may follow ByteLevel", object.where());
    if (type == "Split") {
      auto [pattern, regex] = read_pattern(object);
      reading.steps.emplace_back(SplitByPattern{Pattern(regex ? pattern : escape_pattern(pattern), object.where()),
                                                read_behavior(object, "Isolated"), object.bool_or("invert", false)});
    } else if (type == "ByteLevel") {
      reading.byte_level = true;
      if (object.bool_or("add_prefix_space", true)) reading.steps.emplace_back(AddSpace{});
      if (object.bool_or("use_regex", true))
        reading.steps.emplace_back(SplitByPattern{Pattern(kByteLevelPattern, object.where())});
    } else if (type == "Digits") {
      reading.steps.emplace_back(SplitByCharacter{
          is_number, object.bool_or("individual_digits", false) ? SplitBehavior::isolated : SplitBehavior::contiguous});
    } else if (type == "Punctuation") {
      reading.steps.emplace_back(SplitByCharacter{is_punctuation, read_behavior(object, "Isolated")});
    } else if (type == "Metaspace") {
      reading.steps.emplace_back(read_metaspace(object));
    } else {
      refuse(object, type, "ByteLevel, Split, Digits, Punctuation, Metaspace, Sequence");
    }
  });
  return reading;
}

DecoderReading read_decoder(const json* value, const std::string& where) {
  DecoderReading reading;
  each_step(value, where, "decoders", [&](const JsonObject& object) {
    const std::string type = object.get_string("type");
    if (type == "ByteLevel") {
      reading.byte_level = true;
    } else if (type == "Metaspace") {
      reading.strips_leading_space = read_metaspace(object).front != Metaspace::Front::never;
    } else if (type == "Strip") {
      const json& start = object.get("start");
      const json& stop = object.get("stop");
      if (object.get_string("content") != " " || start != 1 || stop != 0)
        throw InputError("{}: only a Strip of one leading space is supported", object.where());
      reading.strips_leading_space = true;
    } else if (type == "Replace") {
      if (read_pattern(object).first != kSpaceMark || object.get_string("content") != " ")
        throw InputError("{}: only the Replace of '{}' by a space is supported", object.where(), kSpaceMark);
    } else if (type != "ByteFallback" && type != "Fuse") {
      refuse(object, type, "ByteLevel, Metaspace, Replace, ByteFallback, Fuse, Strip, Sequence");
    }
  });
  return reading;
}

PostProcessorReading read_post_processor(const json* value, size_t vocabulary, const std::string& where) {
  PostProcessorReading reading;
  each_step(value, where, "processors", [&](const JsonObject& object) {
    const std::string type = object.get_string("type");
    if (type == "ByteLevel") return;
    if (type != "TemplateProcessing") refuse(object, type, "TemplateProcessing, ByteLevel, Sequence");
    const JsonObject specials = object.get_object("special_tokens");
    std::vector<TokenId> prefix, suffix;
    bool behind = false;
    for (const json& item : object.get_array("single")) {
      const JsonObject entry(item, object.at("single"));
      if (entry.find("Sequence")) {
        if (behind) throw InputError("{}: the text stands twice in the template", object.where());
        behind = true;
        continue;
      }
      const std::string name = entry.get_object("SpecialToken").get_string("id");
      for (const json& id : specials.get_object(name.c_str()).get_array("ids"))
        (behind ? suffix : prefix).push_back(json_id(id, vocabulary, specials.at(shown(name).c_str())));
    }
    if (!behind) throw InputError("{}: the text does not stand in the template", object.where());
    // A later processor of a sequence stands around what an earlier one made.
    reading.prefix.insert(reading.prefix.begin(), prefix.begin(), prefix.end());
    reading.suffix.insert(reading.suffix.end(), suffix.begin(), suffix.end());
  });
  return reading;
}

}  // namespace steno
