// Memory files, and texts beside them, as passages to be read (memory/passage.h), and the compressor that reads them.
#pragma once
#include <CLI/App.hpp>
#include <memory>
#include <string>
#include <vector>

#include "base/fields.h"
#include "memory/memory_file.h"
#include "memory/passage.h"
#include "methods/method.h"

namespace steno {

// How memories are read.
struct MemoryFlags {
  std::vector<std::string> set;  // "key=value"
  std::string choose = "auto";
  int64_t room = 0;  // positions that spans may take; 0: what the reader's window leaves
};
void add_memory_flags(CLI::App& app, MemoryFlags& flags);
// The rule and the settings. Throws UsageError for what makes no sense.
struct MemoryReading {
  ChoiceRule rule = ChoiceRule::automatic;
  int64_t room = 0;
  FieldValues set;
};
MemoryReading memory_reading(const std::string& owner, const MemoryFlags& flags);
// Flags that were given and mean nothing here: those of memories where there are only texts, and those of a stream
// where there are memories. Throw UsageError.
void refuse_memory_flags(const std::string& owner, const CLI::App& app);
void refuse_stream_flags(const std::string& owner, const CLI::App& app);

// A compressor is opened from what a memory says about itself. `set`: parameters of its method that replace the stored
// ones, for example {"adapter", "DIR"} where the adapter has moved. Throws InputError, one line: no such method, no
// adapter where it was, another adapter, model, tokenizer or rotation.
struct OpenCompressor {
  std::shared_ptr<const Compressor> compressor;
  MemoryHeader header;  // of what is loaded now; every memory must agree with it
};
OpenCompressor open_compressor_of(const std::string& owner, const MemoryFile& file, const Model& model,
                                  const FieldValues& set);

// Every span of a memory, in its order.
std::vector<Passage> passages_of(std::shared_ptr<const MemoryFile> file, const Tokenizer& tokenizer);
// A text that is read as it is, in pieces of at most `span_tokens`.
std::vector<Passage> passages_of_text(const std::string& name, const std::string& text, const Tokenizer& tokenizer,
                                      int64_t span_tokens);

// What was named on a command line.
struct MemoryNames {
  std::vector<std::string> names;  // patterns expanded
  std::vector<bool> is_memory;     // [names]
  bool any() const;
};
// By content. Throws as expand_names() does, and InputError for a file called *.memory that is none.
MemoryNames look_for_memories(const std::string& owner, const std::vector<std::string>& names);

struct MemorySource {
  std::string method;
  std::shared_ptr<const Compressor> compressor;
  std::vector<Passage> passages;  // in the order of the names
  std::vector<std::string> files;
  int64_t memories = 0, texts = 0;
};
// All must be memories of one model, method and adapter; check_identity() says what differs. At least one memory.
MemorySource open_memories(const std::string& owner, const MemoryNames& names, const Model& model,
                           const FieldValues& set);

// "key=value" flags as values. Throws UsageError.
FieldValues parse_settings(const std::string& owner, const std::vector<std::string>& settings);

}  // namespace steno
