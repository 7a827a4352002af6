// The two texts of the safetensors format: the header of one file, and the index of a sharded model.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/safetensors.h"

namespace steno {

struct SafetensorsPart {
  std::shared_ptr<const MappedFile> file;
  std::vector<SafetensorsEntry> entries;  // by name
  std::map<std::string, std::string> metadata;
};

// Every view that comes back lies within `file`. Throws InputError.
SafetensorsPart parse_safetensors_part(std::shared_ptr<const MappedFile> file);

// Tensor name -> file name; file names are plain (no folder). `where` begins the messages. Throws InputError.
std::map<std::string, std::string> parse_safetensors_index(std::string_view text, const std::string& where);

// The format's names of the types ("BF16").
std::optional<at::ScalarType> safetensors_dtype(std::string_view name);
const char* safetensors_dtype_name(at::ScalarType dtype);  // nullptr: the format has none

}  // namespace steno
