// Memories for other programs: what is known of each span as JSON lines, slots as plain numbers.
#pragma once
#include <filesystem>
#include <string>

#include "memory/memory_file.h"

namespace steno {

// One object a line, with "text" where it is stored (a character that a span cuts in two becomes U+FFFD there).
std::string export_lines(const MemoryFile& file);
// Every slot tensor as f32, "span.000012.slots" and so on, others as they are; what belongs to the file is metadata.
void export_safetensors(const MemoryFile& file, const std::filesystem::path& path);
// The slots of all spans in order, [K, ...] f32, as NumPy's .npy. Throws UsageError where the method writes more than
// one tensor, or tensors that do not fit together.
void export_npy(const MemoryFile& file, const std::filesystem::path& path);

}  // namespace steno
