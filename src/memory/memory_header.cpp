#include "memory/memory_header.h"

#include <fmt/chrono.h>
#include <fmt/ranges.h>

#include <cstdlib>
#include <ctime>

#include "base/error.h"
#include "io/file_hash.h"
#include "io/shown.h"
#include "model/identity.h"
#include "model/rope.h"

namespace steno {
namespace {

void put_rope(FieldValues& values, const std::string& prefix, const RopeConfig& rope) {
  const auto put = [&](const char* name, const auto& value) { values[prefix + name] = field_text(value); };
  put("theta", rope.theta);
  put("layout", std::string(rope.layout == RopeLayout::half ? "half" : "interleaved"));
  put("scaling", std::string(rope_scaling_name(rope.scaling)));
  if (rope.scaling != RopeScaling::none) {
    put("factor", rope.factor);
    put("original_max_positions", rope.original_max_positions);
  }
  if (rope.scaling == RopeScaling::llama3) {
    put("low_freq_factor", rope.low_freq_factor);
    put("high_freq_factor", rope.high_freq_factor);
  }
  if (rope.scaling == RopeScaling::yarn) {
    put("beta_fast", rope.beta_fast);
    put("beta_slow", rope.beta_slow);
    put("attention_factor", rope.attention_factor);
    put("truncate", rope.truncate);
  }
  if (!rope.freq_factors.empty()) put("freq_factors", hash_bytes(fmt::format("{}", fmt::join(rope.freq_factors, " "))));
}

FieldValues rope_settings(const ModelConfig& config) {
  FieldValues values;
  values["dimensions"] = field_text(config.d_h);
  put_rope(values, "", config.rope);
  const bool local = std::any_of(config.kinds.begin(), config.kinds.end(), [](auto& kind) { return kind.local_rope; });
  if (local) put_rope(values, "local.", config.local_rope);
  return values;
}

std::string value_or(const FieldValues& values, const std::string& key, const std::string& absent) {
  const auto found = values.find(key);
  return found == values.end() ? absent : found->second;
}

// "'SmolLM2' (1a2b3c4d5e6f)": twelve digits tell hashes apart; short values stand as they are.
std::string side(const MemoryHeader& header, const std::string& key) {
  const auto value = header.identity.find(key);
  if (value == header.identity.end()) return "none";
  const std::string brief = value->second.size() == 32 ? value->second.substr(0, 12) : value->second;
  const auto name = header.names.find(key);
  if (name == header.names.end() || name->second.empty()) return shown(brief);
  return fmt::format("'{}' ({})", shown(name->second), shown(brief));
}

std::string rope_difference(const FieldValues& stored, const FieldValues& now) {
  std::string text;
  FieldValues keys = stored;
  keys.insert(now.begin(), now.end());
  for (const auto& item : keys) {
    const std::string a = value_or(stored, item.first, "unset"), b = value_or(now, item.first, "unset");
    if (a != b) text += fmt::format("{}{} {} there and {} here", text.empty() ? ": " : ", ", item.first, a, b);
  }
  return shown(text);
}

}  // namespace

MemoryHeader memory_header(const Model& model, const std::string& method, int method_version, const FieldValues& params,
                           const Compressor& compressor) {
  MemoryHeader header;
  header.method = method;
  header.method_version = method_version;
  header.params = params;
  header.span_tokens = compressor.span_tokens();
  header.slots_per_span = compressor.slots_per_span();
  header.identity = identity_of(model);
  for (const auto& [key, value] : compressor.identity())
    if (!header.identity.emplace(key, value).second)
      throw std::logic_error("compressor " + method + " names '" + key + "', which is the model's");
  header.names["model"] = model.name;
  header.names["tokenizer"] = model.tokenizer->kind();
  for (const auto& [key, value] : params)
    if (header.identity.count(key) && value != header.identity.at(key)) header.names[key] = value;
  header.rope = rope_settings(model.decoder->config());
  return header;
}

void check_same_identity(const std::string& where, const MemoryHeader& stored, const MemoryHeader& expected) {
  if (stored.method != expected.method)
    throw InputError("{}: it was made by method {}, but this is {}", where, shown(stored.method), expected.method);
  if (stored.method_version != expected.method_version)
    throw InputError("{}: it was made by version {} of {}, but this is version {}; compress the documents again", where,
                     stored.method_version, expected.method, expected.method_version);
  const auto compare = [&](const std::string& key) {
    const auto a = stored.identity.find(key), b = expected.identity.find(key);
    const bool in_a = a != stored.identity.end(), in_b = b != expected.identity.end();
    if (in_a == in_b && (!in_a || a->second == b->second)) return;
    if (key == "rope")
      throw InputError("{}: it was made with other RoPE settings{}", where,
                       rope_difference(stored.rope, expected.rope));
    const char* hint = key == "model"     ? "; pass that model with --model"
                       : key == "adapter" ? "; pass that adapter with --set adapter=DIR"
                                          : "";
    throw InputError("{}: it was made with {} {}, but this is {}{}", where, shown(key), side(stored, key),
                     side(expected, key), hint);
  };
  for (const char* key : {"model", "tokenizer", "rope", "adapter"}) compare(key);
  Identity all = stored.identity;
  all.insert(expected.identity.begin(), expected.identity.end());
  for (const auto& item : all) compare(item.first);
}

std::string span_id(const SpanInfo& span) {
  return hash_bytes(fmt::format("{}\n{} {} {}", span.source, span.byte_begin, span.byte_end, span.text_hash))
      .substr(0, 12);
}

std::string time_stamp() {
  std::time_t now = std::time(nullptr);
  // Set by people who build reproducibly; what is no number is not meant for us.
  if (const char* fixed = std::getenv("SOURCE_DATE_EPOCH")) {
    char* end = nullptr;
    const long long seconds = std::strtoll(fixed, &end, 10);
    if (end != fixed && *end == '\0' && seconds >= 0 && seconds < 253402300800) now = static_cast<std::time_t>(seconds);
  }
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(now));
}

}  // namespace steno
