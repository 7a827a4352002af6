// A method: a named way to keep a memory. One folder and one line in registry.cpp.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/fields.h"
#include "memory/compressor.h"
#include "memory/stream.h"
#include "model/decoder.h"
#include "model/loader.h"
#include "train/objective.h"

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
  // The least budget that open_stream() takes with default parameters; it refuses less.
  virtual int64_t smallest_budget() const { return 1; }
  // True: a feed of one token alone is part of an answer, so it adds a slot and evicts nothing (SnapKV as published).
  // The next longer feed brings the slots back to expected_slots().
  virtual bool adds_single_tokens() const { return false; }
  // The largest number of slots that stay under `options` after n tokens; the contract test holds streams to it.
  virtual int64_t expected_slots(const StreamOptions& options, int64_t tokens) const = 0;
  // Accounting::memory_bytes after n tokens were fed without asking for logits: at least and at most. By default keys
  // and values of the slots and nothing else; methods that keep something else (text, an index) say what it costs.
  virtual std::pair<int64_t, int64_t> expected_bytes(const StreamOptions& options, int64_t tokens,
                                                     int64_t slot_bytes) const {
    const int64_t bytes = expected_slots(options, tokens) * slot_bytes;
    return {bytes, bytes};
  }
  // True: a feed that asks for the last logits is a question, and what is read depends on it. LogitRows::all reads text
  // as text.
  virtual bool query_aware() const { return false; }
  // Throws UsageError for parameters or budgets that make no sense (what, and the smallest that does).
  virtual std::unique_ptr<Stream> open_stream(std::shared_ptr<const Decoder> decoder,
                                              const StreamOptions& options) const = 0;

  // Methods that write memories which can be kept. nullptr for all others. Throws InputError for an adapter of another
  // base model (with both names), UsageError for parameters.
  virtual std::shared_ptr<const Compressor> open_compressor(const Model& model, const FieldValues& params) const {
    return nullptr;
  }
  // What `steno train --objective` may ask for; empty where nothing is learned.
  virtual std::vector<std::string> objectives() const { return {}; }
  // The settings of training that belong to the method ("k", "rank", "lm_ratio", ...), with their defaults.
  virtual std::vector<FieldInfo> training_parameters() const { return {}; }
  // One of objectives(). Parameters start fresh, or from the adapter folder named by the parameter "adapter". The model
  // is shared, never copied. Throws UsageError.
  virtual std::unique_ptr<Objective> open_objective(const Model& model, const std::string& objective,
                                                    const FieldValues& params, uint64_t seed) const {
    throw UsageError("[train] {} has nothing to learn", name());
  }
};

// Every method, in the order in which they are listed to people. Alive for the whole process.
const std::vector<const Method*>& methods();
// Throws UsageError that lists the names, with the nearest one first.
const Method& method_named(const std::string& name);

}  // namespace steno
