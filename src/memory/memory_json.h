// The texts in the metadata of a memory file (docs/memory_files.md), and their way back with everything checked.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "memory/memory_header.h"

namespace steno {

// What a span says of each of its tensors, in file order.
struct StoredTensor {
  std::string name;  // after "span.000012."
  std::string hash;  // XXH3-128 of its bytes
};
struct StoredSpan {
  SpanInfo info;  // without `bytes`
  std::vector<StoredTensor> tensors;
  std::map<std::string, int64_t> columns;  // int4 tensors: numbers in a row
};

// "__metadata__" of the file: "format", "format_version", "memory", "spans", "checksum".
std::map<std::string, std::string> memory_metadata(const MemoryHeader& header, const std::vector<StoredSpan>& spans);

// Throws InputError, beginning with `where`: no memory, another format version, a checksum that does not fit, fields
// that are missing, of another type, or make no sense.
void parse_memory_metadata(const std::map<std::string, std::string>& metadata, const std::string& where,
                           MemoryHeader& header, std::vector<StoredSpan>& spans);

// "span.000012."
std::string tensor_prefix(size_t span);

inline constexpr const char* kMemoryFormat = "steno.memory";
// Tensors of a span that are not the method's.
inline constexpr const char* kTextTensor = "text";      // u8 [n], zstd
inline constexpr const char* kTokensTensor = "tokens";  // i32 [tokens]
inline constexpr const char* kScaleSuffix = ".scale";   // of the tensor without the suffix

}  // namespace steno
