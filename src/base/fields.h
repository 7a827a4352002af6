// One list of fields per configuration. A struct names its fields once:
//
//   struct StreamingParams {
//     int64_t sinks = 4;
//     template <class F> void visit(F&& f) { f("sinks", sinks, "start slots that are never evicted"); }
//   };
//
// and defaults, help, parsing and storage follow from the list. An unknown name is an error.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <type_traits>
#include <vector>

#include "base/error.h"

namespace steno {

struct FieldInfo {
  std::string name, type, value, help;  // `value`: the current one, as text
};

// name -> text; ordered, so that what is stored or printed does not depend on the order of the flags.
using FieldValues = std::map<std::string, std::string>;

int64_t parse_int(const std::string& owner, const std::string& name, const std::string& text);
double parse_double(const std::string& owner, const std::string& name, const std::string& text);
bool parse_bool(const std::string& owner, const std::string& name, const std::string& text);

template <class T>
std::string field_text(const T& value) {
  if constexpr (std::is_same_v<T, bool>) return value ? "true" : "false";
  else if constexpr (std::is_same_v<T, std::string>) return value;
  else return fmt::format("{}", value);
}

template <class Params>
std::vector<FieldInfo> list_fields(Params params) {
  std::vector<FieldInfo> fields;
  params.visit([&](const char* name, auto& value, const char* help) {
    using T = std::decay_t<decltype(value)>;
    const char* type = std::is_same_v<T, bool> ? "bool"
                       : std::is_integral_v<T> ? "int"
                       : std::is_floating_point_v<T> ? "float" : "text";
    fields.push_back({name, type, field_text(value), help});
  });
  return fields;
}

// `owner` is the public name that error messages begin with ("streaming-llm").
// Throws UsageError for a name that `params` does not have and for text that is not of the field's type.
template <class Params>
void set_fields(const std::string& owner, Params& params, const FieldValues& values) {
  size_t used = 0;
  std::string known;
  params.visit([&](const char* name, auto& value, const char*) {
    known += (known.empty() ? "" : ", ") + std::string(name);
    const auto found = values.find(name);
    if (found == values.end()) return;
    ++used;
    using T = std::decay_t<decltype(value)>;
    if constexpr (std::is_same_v<T, bool>) value = parse_bool(owner, name, found->second);
    else if constexpr (std::is_integral_v<T>) value = static_cast<T>(parse_int(owner, name, found->second));
    else if constexpr (std::is_floating_point_v<T>) value = static_cast<T>(parse_double(owner, name, found->second));
    else value = found->second;
  });
  if (used == values.size()) return;
  for (const auto& item : values) {
    const std::string& name = item.first;  // clang 14 cannot capture a structured binding
    bool is_known = false;
    params.visit([&](const char* field, auto&, const char*) { is_known |= name == field; });
    if (!is_known)
      throw UsageError("[{}] unknown parameter '{}'; {}", owner, name,
                       known.empty() ? "it has none" : "known: " + known);
  }
}

template <class Params>
FieldValues field_values(Params params) {
  FieldValues values;
  params.visit([&](const char* name, auto& value, const char*) { values[name] = field_text(value); });
  return values;
}

}  // namespace steno
