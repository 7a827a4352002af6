// What `generate` and `ask` share: a model, and tokens read into a stream with progress, warnings and a clean Ctrl-C.
#pragma once
#include "base/process.h"
#include "cli/common_flags.h"
#include "memory/stream.h"
#include "methods/method.h"
#include "model/loader.h"

namespace steno {

// A method with its options, checked as far as that is possible without a model.
struct MemoryChoice {
  const Method* method;
  StreamOptions options;
};
MemoryChoice choose_memory(const std::string& owner, const MethodFlags& flags);

// Says on standard error what a reader may not expect: a memory that spans more than the model's trained positions.
void warn_about_span(const MemoryChoice& memory, const ModelConfig& model, int64_t tokens);

// Feeds `ids`. Throws Interrupted that says how far it came.
double read_tokens(Stream& stream, std::span<const TokenId> ids, bool show_progress);
// The message of an interrupted reading.
std::string interrupted_text(int64_t done, int64_t total);

}  // namespace steno
