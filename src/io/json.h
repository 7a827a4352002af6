// JSON from outside: no depth that exhausts the stack, no name that stands twice in an object.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace steno {

// What we write keeps the order in which it was put together.
using Json = nlohmann::ordered_json;

// `where` begins the messages ("[tokenizer] tokenizer.json"). Throws InputError that names the byte.
nlohmann::json parse_json(std::string_view text, const std::string& where);

}  // namespace steno
