#include "base/error.h"
#include "io/gguf.h"

using namespace steno;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto file = GgufFile::parse(MappedFile::from_bytes("fuzz", {reinterpret_cast<const char*>(data), size}));
    for (const GgufTensor& tensor : file->tensors()) {
      if (!ggml_traits(tensor.type).name) continue;
      dequantize(tensor, at::kFloat);
      dequantize(tensor, at::kBFloat16);
      check_scales(tensor);
    }
  } catch (const Error&) {
  }
  return 0;
}
