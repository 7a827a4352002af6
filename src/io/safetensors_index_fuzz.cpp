#include "base/error.h"
#include "io/safetensors_parse.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    steno::parse_safetensors_index({reinterpret_cast<const char*>(data), size}, "[fuzz] index");
  } catch (const steno::Error&) {
  }
  return 0;
}
