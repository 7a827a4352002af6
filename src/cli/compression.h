// What `steno compress` and `steno memory append` share: documents cut into spans that know their place, and their
// slots, written by several threads.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "cli/certify.h"
#include "cli/documents.h"
#include "io/tokenizer.h"
#include "memory/memory_writer.h"

namespace steno {

// fixed: spans of the longest length, the last one shorter, so that spans keep their borders when text is added.
// balanced: spans of a document are about equally long (icae, section 4).
enum class SpanCut { fixed, balanced };
SpanCut span_cut_named(const std::string& owner, const std::string& name);

struct PlannedSpan {
  NewSpan span;                    // without slots
  std::vector<int64_t> byte_ends;  // [tokens] where each token ends in its document
};

// Byte offset in `text` at which each of `ids` ends; `ids` is encode(text) without special tokens. The space that
// SentencePiece puts before a text has no place in it. Throws InputError, naming the byte, where the tokenizer has
// changed the text (normalised it), so that no place would be right.
std::vector<int64_t> token_ends(const std::string& where, const Tokenizer& tokenizer, std::span<const TokenId> ids,
                                std::string_view text);

// Special tokens in the text stay plain text; compressor.opening_token() stands in front, with no bytes.
std::vector<PlannedSpan> plan_spans(const std::string& owner, const Document& document, const Tokenizer& tokenizer,
                                    const Compressor& compressor, SpanCut cut, bool keep_text);
// How many of `spans` hold text of this document as it is: of the same name, at the same place, with the same content.
int64_t repeated_spans(const Document& document, std::span<const SpanInfo> spans);
// Tokens [begin, end) of `span`, counted from its first.
NewSpan piece_of(const PlannedSpan& span, int64_t begin, int64_t end);

// Slots of spans, `jobs` at a time, each thread with its share of the threads that are set; in the order of `spans`.
// One span is written by one call, so that the slots do not depend on its neighbours. `done` gets the tokens of each
// span when it is finished (one call at a time). Throws what the compressor throws.
std::vector<SpanSlots> compress_spans(const Compressor& compressor, std::span<const PlannedSpan> spans, int64_t jobs,
                                      const std::function<void(int64_t)>& done);

struct CompressionOptions {
  SlotType slot_type = SlotType::bf16;
  int64_t jobs = 1;
  bool certify = false;
  CertifyOptions certificate;
};

struct CompressionCounts {
  int64_t spans = 0, tokens = 0;  // finished, of those planned
  int64_t calls = 0;              // spans that were given to the compressor, without those of the certificate
  CertifyCounts certified;
};

// Writes the slots of all `spans` into `writer`, a few at a time. When Ctrl-C comes, Interrupted is thrown and `counts`
// says how far it came.
void compress_into(MemoryWriter& writer, const Compressor& compressor, const Tokenizer& tokenizer,
                   std::span<const PlannedSpan> spans, const CompressionOptions& options, CompressionCounts& counts,
                   const std::function<void(int64_t tokens_done)>& progress);

}  // namespace steno
