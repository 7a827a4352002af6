#include "memory/memory_json.h"

#include <cmath>
#include <set>

#include "base/error.h"
#include "io/file_hash.h"
#include "io/json.h"
#include "io/shown.h"

namespace steno {
namespace {

using Value = nlohmann::json;

// A count, offset or length that no arithmetic here can overflow.
constexpr int64_t kMostOfAnything = int64_t{1} << 48;

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string checksum(const std::string& version, const std::string& memory, const std::string& spans) {
  return hash_bytes(version + "\n" + memory + "\n" + spans);
}

Json score_json(const SpanScore& score) {
  Json json = Json::object();
  if (score.token_accuracy) json["token_accuracy"] = *score.token_accuracy;
  if (score.bleu4) json["bleu4"] = *score.bleu4;
  if (score.edit_distance) json["edit_distance"] = *score.edit_distance;
  return json;
}

Json span_json(const StoredSpan& span) {
  const SpanInfo& s = span.info;
  Json json = {{"id", s.id},
               {"source", s.source},
               {"bytes", {s.byte_begin, s.byte_end}},
               {"tokens", {s.token_begin, s.token_end}},
               {"text_hash", s.text_hash},
               {"opens_document", s.opens_document},
               {"kind", s.kind == SpanKind::raw ? "raw" : "slots"}};
  if (s.kind == SpanKind::slots) {
    json["slots"] = s.slots;
    json["slot_type"] = slot_type_name(s.slot_type);
  }
  for (const auto& [type, score] : s.scores) json["scores"][slot_type_name(type)] = score_json(score);
  for (const StoredTensor& tensor : span.tensors)
    json["tensors"].push_back({{"name", tensor.name}, {"xxh3", tensor.hash}});
  for (const auto& [name, columns] : span.columns) json["columns"][name] = columns;
  return json;
}

// An object of which every member must be asked for.
class Fields {
 public:
  Fields(const Value& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) throw InputError("{} is not an object", where_);
  }

  const Value* find(const char* name) {
    known_.insert(name);
    const auto found = object_.find(name);
    return found == object_.end() ? nullptr : &*found;
  }
  const Value& at(const char* name) {
    if (const Value* value = find(name)) return *value;
    throw InputError("{}: '{}' is missing", where_, name);
  }
  std::string text(const char* name) {
    const auto* value = at(name).get_ptr<const std::string*>();
    if (!value) throw InputError("{}: '{}' is not a text", where_, name);
    return *value;
  }
  bool flag(const char* name) {
    const Value& value = at(name);
    if (!value.is_boolean()) throw InputError("{}: '{}' is neither true nor false", where_, name);
    return value.get<bool>();
  }
  int64_t count(const char* name, int64_t least = 0) { return count(at(name), name, least); }
  // [begin, end], with begin <= end.
  std::pair<int64_t, int64_t> range(const char* name) {
    const Value& value = at(name);
    if (!value.is_array() || value.size() != 2) throw InputError("{}: '{}' is not a pair of numbers", where_, name);
    const std::pair range(count(value[0], name, 0), count(value[1], name, 0));
    if (range.first > range.second) throw InputError("{}: '{}' ends before it begins", where_, name);
    return range;
  }
  std::map<std::string, std::string> texts(const char* name) {
    std::map<std::string, std::string> values;
    const Value& value = at(name);
    if (!value.is_object()) throw InputError("{}: '{}' is not an object", where_, name);
    for (const auto& [key, item] : value.items()) {
      if (!item.is_string()) throw InputError("{}: '{}' of '{}' is not a text", where_, shown(key), name);
      values[key] = item.get<std::string>();
    }
    return values;
  }
  int64_t count(const Value& value, const char* name, int64_t least) const {
    // Negative numbers are stored as signed ones.
    if (!value.is_number_unsigned() || value.get<uint64_t>() > static_cast<uint64_t>(kMostOfAnything) ||
        value.get<int64_t>() < least)
      throw InputError("{}: '{}' is no number from {} to {}", where_, name, least, kMostOfAnything);
    return value.get<int64_t>();
  }
  // Something that a later version of the format may say is not ours to ignore: it would have another version number.
  void no_others() const {
    for (const auto& item : object_.items())
      if (!known_.count(item.key())) throw InputError("{}: unknown field '{}'", where_, shown(item.key()));
  }
  const std::string& where() const { return where_; }

 private:
  const Value& object_;
  std::string where_;
  std::set<std::string> known_;
};

std::string hash_text(Fields& fields, const char* name) {
  std::string text = fields.text(name);
  if (text.size() != 32 || text.find_first_not_of("0123456789abcdef") != std::string::npos)
    throw InputError("{}: '{}' is no XXH3-128 in hexadecimal digits", fields.where(), name);
  return text;
}

SlotType type_named(const std::string& name, const std::string& where) {
  for (const SlotType type : kSlotTypes)
    if (name == slot_type_name(type)) return type;
  throw InputError("{}: slots of type '{}' are not known", where, shown(name));
}

SpanScore read_score(const Value& json, const std::string& where) {
  Fields fields(json, where);
  const auto share = [&](const char* name) -> std::optional<double> {
    const Value* value = fields.find(name);
    if (!value) return std::nullopt;
    const double number = value->is_number() ? value->get<double>() : -1;
    if (!(number >= 0 && number <= 1)) throw InputError("{}: '{}' is no number from 0 to 1", where, name);
    return number;
  };
  SpanScore score{share("token_accuracy"), share("bleu4"), share("edit_distance")};
  fields.no_others();
  return score;
}

StoredSpan read_span(const Value& json, const std::string& where) {
  Fields fields(json, where);
  StoredSpan span;
  SpanInfo& s = span.info;
  s.id = fields.text("id");
  if (s.id.empty() || s.id.size() > 40 || s.id.find_first_not_of("0123456789abcdef-") != std::string::npos)
    throw InputError("{}: 'id' is not made of hexadecimal digits", where);
  s.source = fields.text("source");
  std::tie(s.byte_begin, s.byte_end) = fields.range("bytes");
  std::tie(s.token_begin, s.token_end) = fields.range("tokens");
  if (s.tokens() == 0) throw InputError("{}: it has no tokens", where);
  s.text_hash = hash_text(fields, "text_hash");
  s.opens_document = fields.flag("opens_document");
  const std::string kind = fields.text("kind");
  if (kind != "slots" && kind != "raw") throw InputError("{}: kind '{}' is not known", where, shown(kind));
  s.kind = kind == "raw" ? SpanKind::raw : SpanKind::slots;
  if (s.kind == SpanKind::slots) {
    s.slots = fields.count("slots", 1);
    s.slot_type = type_named(fields.text("slot_type"), where);
  }
  if (const Value* scores = fields.find("scores")) {
    if (!scores->is_object()) throw InputError("{}: 'scores' is not an object", where);
    for (const auto& [type, score] : scores->items()) s.scores[type_named(type, where)] = read_score(score, where);
  }
  const Value& tensors = fields.at("tensors");
  if (!tensors.is_array()) throw InputError("{}: 'tensors' is not a list", where);
  for (const Value& item : tensors) {
    Fields tensor(item, where + ", a tensor");
    span.tensors.push_back({tensor.text("name"), hash_text(tensor, "xxh3")});
    tensor.no_others();
  }
  if (const Value* columns = fields.find("columns")) {
    if (!columns->is_object()) throw InputError("{}: 'columns' is not an object", where);
    for (const auto& [name, count] : columns->items()) span.columns[name] = fields.count(count, "columns", 1);
  }
  fields.no_others();
  return span;
}

}  // namespace

std::string tensor_prefix(size_t span) { return fmt::format("span.{:06}.", span); }

std::map<std::string, std::string> memory_metadata(const MemoryHeader& header, const std::vector<StoredSpan>& spans) {
  const Json memory = {{"method", header.method},
                       {"method_version", header.method_version},
                       {"params", header.params},
                       {"span_tokens", header.span_tokens},
                       {"slots_per_span", header.slots_per_span},
                       {"identity", header.identity},
                       {"names", header.names},
                       {"rope", header.rope},
                       {"steno", header.steno},
                       {"created", header.created},
                       {"changed", header.changed}};
  Json list = Json::array();
  for (const StoredSpan& span : spans) list.push_back(span_json(span));
  const std::string version = std::to_string(MemoryHeader::kFormatVersion), memory_text = dump(memory),
                    spans_text = dump(list);
  return {{"format", kMemoryFormat},
          {"format_version", version},
          {"memory", memory_text},
          {"spans", spans_text},
          {"checksum", checksum(version, memory_text, spans_text)}};
}

void parse_memory_metadata(const std::map<std::string, std::string>& metadata, const std::string& where,
                           MemoryHeader& header, std::vector<StoredSpan>& spans) {
  const auto text = [&](const char* name) -> const std::string& {
    const auto found = metadata.find(name);
    if (found == metadata.end())
      throw InputError("{}: '{}' is missing in its metadata; the file is damaged", where, name);
    return found->second;
  };
  const auto format = metadata.find("format");
  if (format == metadata.end() || format->second != kMemoryFormat)
    throw InputError("{}: it is no memory file; 'steno compress' makes them", where);
  const std::string& version = text("format_version");
  if (version != std::to_string(MemoryHeader::kFormatVersion))
    throw InputError("{}: it has format version {}, and this steno reads version {}", where, shown(version),
                     MemoryHeader::kFormatVersion);
  if (checksum(version, text("memory"), text("spans")) != text("checksum"))
    throw InputError("{}: its header is damaged (the checksum does not fit)", where);

  const Value memory = parse_json(text("memory"), where + ", 'memory'");
  Fields fields(memory, where + ", 'memory'");
  header.method = fields.text("method");
  const int64_t method_version = fields.count("method_version");
  if (method_version > 1'000'000) throw InputError("{}: method version {} makes no sense", where, method_version);
  header.method_version = static_cast<int>(method_version);
  header.params = fields.texts("params");
  header.span_tokens = fields.count("span_tokens", 1);
  header.slots_per_span = fields.count("slots_per_span", 1);
  header.identity = fields.texts("identity");
  for (const char* key : {"model", "tokenizer", "rope"})
    if (!header.identity.count(key)) throw InputError("{}: 'identity' does not name the {}", where, key);
  header.names = fields.texts("names");
  header.rope = fields.texts("rope");
  header.steno = fields.text("steno");
  header.created = fields.text("created");
  header.changed = fields.text("changed");
  fields.no_others();

  const Value list = parse_json(text("spans"), where + ", 'spans'");
  if (!list.is_array()) throw InputError("{}: 'spans' is not a list", where);
  spans.clear();
  std::set<std::string> ids;
  for (const Value& item : list) {
    spans.push_back(read_span(item, fmt::format("{}, span {}", where, spans.size())));
    if (!ids.insert(spans.back().info.id).second)
      throw InputError("{}: two spans have the id {}", where, spans.back().info.id);
  }
}

}  // namespace steno
