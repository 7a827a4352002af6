// Members of a JSON object, with messages that say where and which.
#pragma once
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/error.h"

namespace steno::report {

// Does not own the object. `where` begins the messages. Absent and null are the same; a wrong type is an InputError.
class Fields {
 public:
  Fields(const nlohmann::json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) throw InputError("{}: an object is expected", where_);
  }

  bool has(const char* name) const { return object_.contains(name) && !object_[name].is_null(); }
  const nlohmann::json& raw(const char* name) const {
    static const nlohmann::json kNull;
    return object_.contains(name) ? object_[name] : kNull;
  }
  const nlohmann::json& need(const char* name) const {
    if (!has(name)) throw InputError("{}: '{}' is missing", where_, name);
    return object_[name];
  }
  std::string text(const char* name) const { return check(name, need(name).is_string(), "text").get<std::string>(); }
  std::string text_or(const char* name, const char* otherwise) const { return has(name) ? text(name) : otherwise; }
  double number(const char* name) const { return check(name, need(name).is_number(), "a number").get<double>(); }
  std::optional<double> number_if(const char* name) const {
    return has(name) ? std::optional(number(name)) : std::nullopt;
  }
  int64_t integer(const char* name) const {
    return check(name, need(name).is_number_integer(), "a whole number").get<int64_t>();
  }
  int64_t integer_or(const char* name, int64_t otherwise) const { return has(name) ? integer(name) : otherwise; }
  bool flag_or(const char* name, bool otherwise) const {
    return has(name) ? check(name, need(name).is_boolean(), "true or false").get<bool>() : otherwise;
  }
  const nlohmann::json& array(const char* name) const { return check(name, need(name).is_array(), "a list"); }
  Fields object(const char* name) const { return Fields(need(name), where_ + ": '" + name + "'"); }
  const std::string& where() const { return where_; }
  const nlohmann::json& json() const { return object_; }

 private:
  const nlohmann::json& check(const char* name, bool fits, const char* type) const {
    if (!fits) throw InputError("{}: '{}' must be {}", where_, name, type);
    return object_[name];
  }

  const nlohmann::json& object_;
  std::string where_;
};

}  // namespace steno::report
