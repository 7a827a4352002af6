#include "base/fields.h"

#include <charconv>

namespace steno {

int64_t parse_int(const std::string& owner, const std::string& name, const std::string& text) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end) throw UsageError("[{}] {}: '{}' is not an integer", owner, name, text);
  return value;
}

double parse_double(const std::string& owner, const std::string& name, const std::string& text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end) throw UsageError("[{}] {}: '{}' is not a number", owner, name, text);
  return value;
}

bool parse_bool(const std::string& owner, const std::string& name, const std::string& text) {
  if (text == "true" || text == "1" || text == "on" || text == "yes") return true;
  if (text == "false" || text == "0" || text == "off" || text == "no") return false;
  throw UsageError("[{}] {}: '{}' is neither true nor false", owner, name, text);
}

}  // namespace steno
