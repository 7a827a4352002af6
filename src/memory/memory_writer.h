// Writing memory files: fresh, appended to, with spans taken out, or put together from several.
//
// What it costs. Compression and encoding are done for new spans only; spans that are kept are never decoded. Every
// write makes a new file and renames it over the old one (a safetensors file has its header in front, so one that grows
// in place would be broken for other readers, and after a crash for us): the header is written anew, O(spans), about a
// kilobyte each; the bytes of kept spans go from file to file inside the kernel by copy_file_range. Where the file
// system shares blocks (btrfs, XFS with reflinks) and spans are appended, no kept byte is written: the data begins at a
// multiple of 4096 for that purpose. Elsewhere they are copied, at the speed of the disk. WriteReport says what
// happened.
//
// The layout depends on the spans alone: a memory that was appended to, or had spans taken out, has the bytes of one
// freshly made from the same spans, but for the two times in its header.
#pragma once
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "memory/memory_file.h"

namespace steno {

// A span to be written. `info` gives source, ranges, opens_document, kind and scores; id, hash, slot type and sizes are
// filled in by the writer.
struct NewSpan {
  SpanInfo info;
  SpanSlots slots;              // empty for raw spans
  std::string text;             // of the document's bytes [byte_begin, byte_end); always given
  std::vector<TokenId> tokens;  // info.tokens() of them
  bool keep_text = false;       // store text and ids too; raw spans always do
};

struct WriteReport {
  int64_t spans = 0, new_spans = 0;
  int64_t file_bytes = 0, header_bytes = 0;
  int64_t new_bytes = 0;   // of tensors that were encoded for this file
  int64_t kept_bytes = 0;  // of tensors taken over as they were
};

// Not thread-safe. Holds the encoded tensors of new spans in memory until write().
class MemoryWriter {
 public:
  // header.created stays if it is set; the other time is now.
  explicit MemoryWriter(MemoryHeader header);

  // Floating-point tensors of two dimensions or more are stored as `type`, those with one number for each slot as f32, all
  // others as they are. Throws InputError for slots that are not finite, spans without tokens, or slots that do not fit the span.
  void add(const NewSpan& span, SlotType type);
  // Takes span `index` of `file` over without decoding it. Throws InputError when the file's identity is another one.
  void keep(const std::shared_ptr<const MemoryFile>& file, size_t index);
  void keep_all(const std::shared_ptr<const MemoryFile>& file);

  const std::vector<SpanInfo>& spans() const { return spans_; }

  // Atomically: the old file, if any, is there until the new one is whole and on the disk. Hold a FileLock
  // (io/file_lock.h) from before the old file is opened until this returns. Throws ResourceError (disk full, header
  // larger than the format allows), InputError (no such folder).
  WriteReport write(const std::filesystem::path& path);

 private:
  struct Part {
    std::string name;  // after "span.000012."
    SafetensorsEntry entry;
    std::string hash;
    int64_t columns = 0;                // int4: numbers in a row
    std::shared_ptr<const void> owner;  // of entry.data
    int source = -1;                    // descriptor and offset of kept bytes; -1: in memory only
    int64_t offset = 0;
  };
  void take(SpanInfo info, std::vector<Part> parts);
  std::string header_text() const;

  MemoryHeader header_;
  std::vector<SpanInfo> spans_;
  std::vector<std::vector<Part>> parts_;  // [spans]
  std::set<std::string> ids_;
  int64_t new_spans_ = 0;
};

// Spans named by `what`: an id, a source name, an index ("3"), or a range of indices ("3..5", both included). Throws
// UsageError for a name that is nothing of these.
std::vector<size_t> select_spans(const MemoryFile& file, const std::string& what);

}  // namespace steno
