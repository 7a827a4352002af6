// A stream of tokens through a model with a bounded memory. The one interface that generation, evaluation and serving
// know; every method opens one.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/tokenizer.h"
#include "model/decoder.h"

namespace steno {

// What a reader must be told about what was kept. Slots are per layer and key/value head.
struct Accounting {
  int64_t source_tokens = 0;   // tokens fed so far
  int64_t slots = 0;           // kept entries
  int64_t dropped_tokens = 0;  // fed tokens that no slot represents any more
  // Position ranges [first, last] of the dropped tokens, ascending.
  std::vector<std::pair<int64_t, int64_t>> dropped_ranges;
  int64_t memory_bytes = 0;     // of the kept entries, measured from the tensors
  int64_t allocated_bytes = 0;  // with room for the next chunk
  int64_t peak_slots = 0;       // most entries held at any moment (inside a chunk too)
  // Kept entries by what they are kept for ("token", "start", "recent", "heavy", ...); they add up to `slots`.
  std::map<std::string, int64_t> slots_by_role;
  // How the text was read, in words: "chunks of 512, cut after every chunk". Rules that look at scores depend on it.
  std::string reading;
  double ratio() const { return slots > 0 ? static_cast<double>(source_tokens) / static_cast<double>(slots) : 0.0; }
};

// What a saved stream belongs to besides its method: "model", "tokenizer", "rope" -> hash. A file is refused where one
// of the values asked for differs from what it was saved with.
using Identity = std::map<std::string, std::string>;

struct FeedResult {
  // First position these logits belong to; methods that answer late return earlier ones.
  int64_t first_position = 0;
  at::Tensor logits;  // [T', V] f32, as asked for
};

// A token that is about to be read, as a call of the decoder. feed_together() runs many of them at once.
struct PendingToken {
  const Decoder* decoder = nullptr;  // nullptr: the stream reads its tokens by feed() only
  Input input;
  // Takes the results of `input` into the memory. The stream must not be touched in between.
  std::function<FeedResult(const Output&)> finish;
};

// Not thread-safe; any number of streams share one decoder.
class Stream {
 public:
  virtual ~Stream() = default;
  // Reads tokens, `chunk_size()` at a time; calls `progress` with the tokens done after each chunk. When Ctrl-C was
  // pressed it throws Interrupted between chunks, with what was read so far kept. Throws InputError for ids outside the
  // vocabulary.
  virtual FeedResult feed(std::span<const TokenId> tokens, LogitRows logits,
                          const std::function<void(int64_t)>& progress = {}) = 0;
  // feed() of one token, cut in two around the decoder; see feed_together(). Throws as feed() does.
  virtual PendingToken begin_token(TokenId token, LogitRows logits) { return {}; }
  // Results that are still outstanding (methods that answer late); empty for all others.
  virtual FeedResult flush() { return {}; }
  // An utterance ends after the last token fed; methods without utterances ignore it.
  virtual void end_of_utterance() {}
  // Makes room for a turn of `tokens` now, so that reading them drops nothing (cache_policies, section 3); at most the
  // whole budget. Methods whose rule knows no such step ignore it.
  virtual void reserve(int64_t tokens) {}
  // Drops what is held of these positions in every layer and head; those that are not held are passed over. To tell
  // what a slot is worth: an answer with it and one without. The others stay as they were read, at their positions;
  // only where positions are ranks do they close up. False, and nothing changed, where the stream cannot do that: for
  // the start that a rule keeps for ever, or where some layers or heads would lose more slots than others.
  virtual bool forget(std::span<const int64_t> positions) { return false; }
  // Ids from 0 to vocab() - 1 are known.
  virtual int64_t vocab() const = 0;
  virtual int64_t tokens_seen() const = 0;
  virtual int64_t chunk_size() const = 0;
  virtual Accounting accounting() const = 0;
  // An independent stream with the same memory.
  virtual std::unique_ptr<Stream> fork() const = 0;
  // Kept positions of a layer and head, ascending.
  virtual std::vector<int64_t> kept_positions(int64_t layer, int64_t kv_head) const = 0;
  // State for a bit-equal continuation (tensors and metadata of one safetensors file).
  // load() throws InputError, and changes nothing, for a file of another method, version, parameter or identity.
  virtual void save(const std::string& path, const Identity& identity = {}) const = 0;
  virtual void load(const std::string& path, const Identity& identity = {}) = 0;
};

}  // namespace steno
