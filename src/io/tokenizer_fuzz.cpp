// libFuzzer: the input is a text up to the first zero byte and a tokenizer.json behind it.
#include <cstddef>
#include <cstdint>

#include "base/error.h"
#include "io/tokenizer_json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t zero = input.find('\0');
  const std::string_view text = input.substr(0, zero);
  const std::string_view json = zero == std::string_view::npos ? text : input.substr(zero + 1);
  try {
    const auto tokenizer = steno::tokenizer_from_json(json, "", "fuzz.json");
    (void)tokenizer->decode(tokenizer->encode(text));
  } catch (const steno::Error&) {
  }
  return 0;
}
