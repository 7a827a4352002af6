#include "base/error.h"
#include "io/safetensors.h"

using namespace steno;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto file =
        SafetensorsFile::parse(MappedFile::from_bytes("fuzz", {reinterpret_cast<const char*>(data), size}));
    for (const SafetensorsEntry& entry : file->entries()) file->tensor(entry.name).clone();
  } catch (const Error&) {
  }
  return 0;
}
