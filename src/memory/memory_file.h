// Memories that last: the slots of many spans in one safetensors file, with everything needed to read them again or to
// refuse them. docs/memory_files.md describes the bytes; this is how steno reads them. MemoryWriter writes them.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "memory/memory_header.h"

namespace steno {

// A file that was checked as a whole: header, sizes, numbers, and the XXH3 of every tensor. Immutable and mapped, so
// that opening costs one reading of the file and no copy; safe from several threads. Writers replace files and never
// change them in place, so what is open stays as it was.
class MemoryFile {
 public:
  // Throws InputError, one line, for anything that is not exactly a memory file of this format.
  static std::shared_ptr<const MemoryFile> open(const std::filesystem::path& path);
  static std::shared_ptr<const MemoryFile> parse(std::shared_ptr<const MappedFile> file);
  // By content, not by name: it begins as every memory file does ("format" is the first thing its header says). False
  // for what cannot be read; true for a damaged memory, as long as its beginning is there: open() then says what is
  // wrong.
  static bool is_memory_file(const std::filesystem::path& path);

  const std::filesystem::path& path() const;
  const MemoryHeader& header() const { return header_; }
  const std::vector<SpanInfo>& spans() const { return spans_; }  // in the order in which they are read

  // Dequantised: floating-point tensors as f32, others as they were written. InputError for raw spans.
  SpanSlots slots(size_t index) const;
  // The source text of the span, where it is stored (raw spans: always). A span may begin or end inside a character.
  std::optional<std::string> text(size_t index) const;
  // The ids that the slots stand for (BOS included), stored together with the text; empty otherwise.
  std::vector<TokenId> tokens(size_t index) const;
  // check_same_identity() against what is loaded now: throws InputError that names the first difference.
  void check_identity(const MemoryHeader& expected) const;

  // One tensor of a span as it stands in the file, for writers that copy spans without decoding them.
  struct Part {
    std::string name;  // after "span.000012."
    SafetensorsEntry entry;
    std::string hash;
  };
  const std::vector<Part>& parts(size_t index) const { return parts_[index]; }
  // Numbers in a row of a packed tensor (int4); 0 for all others.
  int64_t columns(size_t index, const std::string& name) const;
  const std::shared_ptr<const MappedFile>& mapping() const { return mapping_; }
  // Index of the span of this id; none when there is no such.
  std::optional<size_t> find(std::string_view id) const;

 private:
  friend class MemoryFileReader;
  MemoryFile() = default;

  std::shared_ptr<const MappedFile> mapping_;
  std::shared_ptr<const SafetensorsFile> file_;
  MemoryHeader header_;
  std::vector<SpanInfo> spans_;
  std::vector<std::vector<Part>> parts_;                 // [spans], in file order
  std::vector<std::map<std::string, int64_t>> columns_;  // [spans], of packed tensors (int4): numbers in a row
};

}  // namespace steno
