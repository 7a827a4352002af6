// A method: a named way to keep a memory. One folder and one line in registry.cpp.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/fields.h"
#include "memory/stream.h"
#include "model/decoder.h"

namespace steno {

struct StreamOptions {
  int64_t budget = 0;      // slots per layer and key/value head after eviction; 0: the method's own default or no limit
  int64_t chunk_size = 0;  // tokens read at once; 0: chosen by the stream
  FieldValues params;      // the method's own parameters, by name
};

class Method {
 public:
  virtual ~Method() = default;
  virtual std::string name() const = 0;     // written into saved memories
  virtual int version() const = 0;          // likewise; raised when the meaning of a saved memory changes
  virtual std::string summary() const = 0;  // one line
  virtual std::vector<FieldInfo> parameters() const = 0;
  virtual bool needs_training() const { return false; }
  // False: keeps everything, a budget means nothing to it (dense).
  virtual bool has_budget() const { return true; }
  // True: results do not depend on how a text is cut into chunks, beyond rounding. Rules that look at scores cannot
  // promise it (cache_policies, section 0).
  virtual bool same_for_any_chunks() const { return true; }
  // True: keeping depends on where utterances end, so that whoever reads a dialogue must feed it utterance by utterance.
  virtual bool reads_utterances() const { return false; }
  // The largest number of slots that stay under `options` after n tokens; the contract test holds streams to it.
  virtual int64_t expected_slots(const StreamOptions& options, int64_t tokens) const = 0;
  // Throws UsageError for parameters or budgets that make no sense (what, and the smallest that does).
  virtual std::unique_ptr<Stream> open_stream(std::shared_ptr<const Decoder> decoder,
                                              const StreamOptions& options) const = 0;
};

// Every method, in the order in which they are listed to people. Alive for the whole process.
const std::vector<const Method*>& methods();
// Throws UsageError that lists the names, with the nearest one first.
const Method& method_named(const std::string& name);

}  // namespace steno
