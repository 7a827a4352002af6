// What a memory file holds, for people and for programs.
#pragma once
#include <string>

#include "cli/output.h"
#include "memory/memory_file.h"

namespace steno {

// One span: place, kind, size, scores.
Json span_json(const MemoryFile& file, size_t index);
// One line a span, with a heading.
std::string span_table(const MemoryFile& file);
// Origin, sources, sizes, and the mean score of every slot type that was measured.
std::string memory_text(const MemoryFile& file);
Json memory_json(const MemoryFile& file);

}  // namespace steno
