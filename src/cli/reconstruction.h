// What a memory still holds of a span, as text: written from its slots alone, and held against the source
// (evaluation, section 3; icae, section 7).
#pragma once
#include <span>
#include <string>
#include <vector>

#include "io/tokenizer.h"
#include "memory/compressor.h"
#include "memory/memory_header.h"

namespace steno {

struct Reconstruction {
  std::vector<TokenId> tokens;  // greedy, without the end
  std::string text;             // of the tokens, special ones left out
  bool ended = false;           // by an end token; otherwise cut at the limit
};

// The most tokens that a span of n is written with.
inline int64_t reconstruction_limit(int64_t source_tokens) { return source_tokens + 10; }

// Greedy output after ReaderTask::reconstruct, of each span by itself; several are decoded in step. Throws Interrupted.
std::vector<Reconstruction> reconstruct(const Compressor& compressor, const Tokenizer& tokenizer,
                                        std::span<const SpanSlots> spans);

// The same, with all three scores against the ids the slots were written from:
//   token_accuracy  share of tokens that are the most likely ones when all before them are right (the end not counted)
//   bleu4           NLTK sentence BLEU-4, method1, words between spaces, as `eval reconstruct` has it
//   edit_distance   Levenshtein over characters / the longer length
struct ScoredReconstruction : Reconstruction {
  SpanScore score;
};
std::vector<ScoredReconstruction> score_reconstructions(const Compressor& compressor, const Tokenizer& tokenizer,
                                                        std::span<const SpanSlots> spans,
                                                        std::span<const std::vector<TokenId>> sources);

// Word by word, spaces kept: what only the source has as [-...-], what only the output has as {+...+}. Equal texts come
// back as they are.
std::string marked_differences(const std::string& source, const std::string& output);

}  // namespace steno
