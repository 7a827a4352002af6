// Methods that write memories which can be kept: text in, slots out, no question needed. Beside it the reader: a stream
// that takes slots where they stand in the text.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "memory/stream.h"

namespace steno {

// What was written for one span of text. The first dimension of every tensor is the slot; names, order, shapes and
// types are the method's (ICAE: "slots" [k, d] f32). On the CPU.
struct SpanSlots {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  int64_t source_tokens = 0;
  int64_t slots() const { return tensors.empty() ? 0 : tensors.front().second.size(0); }
};

// What the tokens after the slots are: methods that learned a token for it put it there.
enum class ReaderTask { reconstruct, continue_text, instruct };

// What a reader was trained to see around an instruction: `before` stands before the slots, `after` between the question
// and its answer, which ends with `end`.
struct InstructionTemplate {
  std::vector<TokenId> before, after;
  std::optional<TokenId> end;
};

// A stream that reads slots and tokens in any order; both take the next positions. Every token is kept (dense).
// accounting(): source_tokens counts what the slots stand for, slots what is held in the decoder's keys and values.
class MemoryReader : public Stream {
 public:
  // Throws InputError for tensors that this method does not write.
  virtual void read_slots(std::span<const SpanSlots> spans) = 0;
  // The method's token for `task`, if it has one, with the logits that predict what follows it. Reconstruction begins
  // here: the first token is predicted from this result.
  virtual FeedResult begin(ReaderTask task, LogitRows logits) = 0;
  // Feeds `tokens` and returns what they attended to of all that was read before them: [rows held before] f32 on the
  // CPU, in the order of reading, the mean over tokens, layers and heads (all of it adds up to at most 1). By this
  // spans are chosen for a question (memory/span_choice.h). Where a reader cannot tell: undefined, and nothing is fed.
  virtual at::Tensor feed_attending(std::span<const TokenId> tokens) { return {}; }
};

// Immutable; safe from several threads.
class Compressor {
 public:
  virtual ~Compressor() = default;
  virtual int64_t span_tokens() const = 0;     // the longest span it writes at once
  virtual int64_t slots_per_span() const = 0;  // whatever the span's length
  // Positions of the reader that the slots of a span of `source_tokens` take.
  virtual int64_t span_positions(int64_t source_tokens) const { return slots_per_span(); }
  // What stands before the first token of a document, and counts as one of the tokens of its first span.
  virtual std::optional<TokenId> opening_token() const { return std::nullopt; }
  // Ends a reconstruction, beside the tokens that end any text of the model.
  virtual std::optional<TokenId> reconstruction_end() const { return std::nullopt; }
  // Without one, whoever asks frames questions by the model's chat format.
  virtual std::optional<InstructionTemplate> instruction_template() const { return std::nullopt; }
  // Positions the reader may use with this model: slots, question and answer together. Beyond it answers are not to be
  // trusted.
  virtual int64_t window() const = 0;
  // What a stored memory is bound to beside the model: "adapter" -> hash, and parameters that change the slots.
  virtual Identity identity() const = 0;
  // Spans are independent of each other and of how many are given at once (bit for bit: spans are encoded one by one or
  // in batches that do not change the numbers). Each has 1 to span_tokens() tokens. Throws InputError for ids outside
  // the vocabulary, Interrupted between spans.
  virtual std::vector<SpanSlots> compress(std::span<const std::vector<TokenId>> spans) const = 0;
  virtual std::unique_ptr<MemoryReader> open_reader() const = 0;
};

// Cuts a text into spans of `span_tokens`, the last one shorter: finished spans stay valid when text is appended
// (icae, section 4).
std::vector<std::vector<TokenId>> cut_fixed(std::span<const TokenId> ids, int64_t span_tokens);
// M = ceil(n / S) spans of ceil(n / M) tokens.
std::vector<std::vector<TokenId>> cut_balanced(std::span<const TokenId> ids, int64_t span_tokens);

}  // namespace steno
