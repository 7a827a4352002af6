// One GGUF file as it stands in memory. gguf.cpp puts the parts of split files together.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/gguf.h"

namespace steno {

struct GgufPart {
  std::shared_ptr<const MappedFile> file;
  uint32_t version = 0;
  std::vector<std::pair<std::string_view, GgufValue>> metadata;
  std::vector<GgufTensor> tensors;
};

// Every view that comes back lies within `file`. Throws InputError.
GgufPart parse_gguf_part(std::shared_ptr<const MappedFile> file);

// A value that is any kind of integer and fits int64_t.
bool as_int(const GgufValue& value, int64_t& out);

}  // namespace steno
