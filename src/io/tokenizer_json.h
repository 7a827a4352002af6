// The parts of a tokenizer.json (github.com/huggingface/tokenizers) as steno's own steps.
#pragma once
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/text_tokenizer.h"

namespace steno {

// A tokenizer from texts that already are in memory. `config` (tokenizer_config.json) may be empty; `chat_template` is
// used where the config has none. Throws InputError that begins with "[tokenizer] `name`".
std::shared_ptr<const Tokenizer> tokenizer_from_json(std::string_view tokenizer_json, std::string_view config,
                                                     const std::string& name, std::string_view chat_template = {});

// Look-ups in a JSON object that name the key and the kind they want. Absent and null are the same.
class JsonObject {
 public:
  // Throws InputError when `value` is no object.
  JsonObject(const nlohmann::json& value, std::string where);
  const nlohmann::json* find(const char* key) const;
  const nlohmann::json& get(const char* key) const;
  bool bool_or(const char* key, bool fallback) const;
  std::string get_string(const char* key) const;
  std::string string_or(const char* key, const char* fallback) const;
  const nlohmann::json& get_array(const char* key) const;
  JsonObject get_object(const char* key) const { return {get(key), at(key)}; }
  const nlohmann::json& value() const { return *value_; }
  const std::string& where() const { return where_; }
  std::string at(const char* key) const { return where_ + "." + key; }

 private:
  const nlohmann::json* value_;
  std::string where_;
};

// An id: a whole number from 0 to `limit` - 1.
TokenId json_id(const nlohmann::json& value, size_t limit, const std::string& where);

// Each takes the member of the file or null.
std::vector<NormalizerStep> read_normalizer(const nlohmann::json* value, const std::string& where);

struct PreTokenizerReading {
  std::vector<PreTokenizerStep> steps;
  bool byte_level = false;
};
PreTokenizerReading read_pretokenizer(const nlohmann::json* value, const std::string& where);

struct DecoderReading {
  bool byte_level = false;
  bool strips_leading_space = false;
};
DecoderReading read_decoder(const nlohmann::json* value, const std::string& where);

struct PostProcessorReading {
  std::vector<TokenId> prefix, suffix;
};
PostProcessorReading read_post_processor(const nlohmann::json* value, size_t vocabulary, const std::string& where);

}  // namespace steno
