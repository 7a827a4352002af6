// What answers are given from when memories are kept: spans as slots, and spans and texts as tokens, in the order of
// the text; and which of them are read where they do not all fit into the reader's window.
//
// The rule. As long as everything fits, everything is read. Otherwise every passage gets a score for the question,
// passages are taken by descending score (of equal scores the earlier one), each one that still fits, and what was
// taken is read in the order of the text. Scores are
//
//   bm25        of the question over the passage's own tokens (memory/bm25.h), where all passages have them
//   attention   otherwise: the passage alone is read behind the opening of the prompt, then the task's token and the
//               question; the score is the share of the question's attention that goes to the passage, the mean over
//               tokens, layers and heads. It depends on no other passage, so a memory that grows keeps its scores.
//   order       none: the earlier, the better. For readers that cannot tell what they attend to.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "memory/compressor.h"

namespace steno {

struct Passage {
  std::string source;               // for people: "book.txt, tokens 512..1023"
  int64_t source_tokens = 0;        // of the text that it stands for
  int64_t slots = 0;                // 0: read as the text itself
  int64_t slot_positions = 0;       // that the slots take in the reader (Compressor::span_positions); 0: one each
  std::function<SpanSlots()> load;  // of passages with slots
  // The text. Of passages with slots empty where it was not stored.
  std::vector<TokenId> tokens;

  bool raw() const { return slots == 0; }
  int64_t positions() const {
    if (raw()) return static_cast<int64_t>(tokens.size());
    return slot_positions > 0 ? slot_positions : slots;
  }
};

enum class ChoiceRule { automatic, bm25, attention, order };
const char* choice_rule_name(ChoiceRule rule);  // "auto", "bm25", "attention", "order"
// Throws UsageError that lists the names; `owner` begins the message.
ChoiceRule choice_rule_named(const std::string& owner, const std::string& name);

struct PassageChoice {
  ChoiceRule rule = ChoiceRule::automatic;  // the one that decided; automatic: everything fits, none was needed
  std::vector<size_t> read, unread;         // indices, ascending; together all
  std::vector<double> scores;               // [passages]; empty where everything fits
  int64_t positions = 0;                    // that the read ones take
  bool operator==(const PassageChoice&) const = default;
};

// The passages that are taken by `scores` into `room` positions, ascending.
std::vector<size_t> take_best(std::span<const double> scores, std::span<const int64_t> positions, int64_t room);

std::vector<double> bm25_scores(std::span<const Passage> passages, std::span<const TokenId> question);
// Empty where the reader cannot tell. `progress` gets the number of passages that have their score. Throws Interrupted.
std::vector<double> attention_scores(const Compressor& compressor, std::span<const TokenId> opening,
                                     std::span<const Passage> passages, std::span<const TokenId> question,
                                     const std::function<void(int64_t)>& progress = {});

// `opening`: the tokens before the passages. `room`: positions for passages alone. Throws UsageError for bm25 where a
// passage has no text and for attention where the reader cannot tell, InputError where not a single passage fits.
PassageChoice choose_passages(const Compressor& compressor, std::span<const TokenId> opening,
                              std::span<const Passage> passages, std::span<const TokenId> question, int64_t room,
                              ChoiceRule rule = ChoiceRule::automatic,
                              const std::function<void(int64_t)>& progress = {});

// A reader that has read the opening, the passages named by `chosen`, and the token of `task`. `progress` gets the
// number of positions done. Throws Interrupted between passages.
std::unique_ptr<MemoryReader> read_passages(const Compressor& compressor, std::span<const TokenId> opening,
                                            std::span<const Passage> passages, std::span<const size_t> chosen,
                                            ReaderTask task, const std::function<void(int64_t)>& progress = {});

}  // namespace steno
