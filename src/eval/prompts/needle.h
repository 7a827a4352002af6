// Needle in a haystack (gkamradt/LLMTest_NeedleInAHaystack; evaluation, section 5), with one needle or several.
#pragma once
#include <optional>

#include "eval/prompts/encoder.h"
#include "eval/prompts/filler.h"

namespace steno {

// Which of the needles is asked for, after RULER (section 7).
enum class NeedleKind {
  single,
  multi_key,    // several keys, one is asked for
  multi_value,  // one key with several values, all asked for
  multi_query   // several keys, all asked for
};
NeedleKind needle_kind_named(const std::string& name);  // "multi-key", ...; throws UsageError

struct NeedleSpec {
  int64_t length = 1024;        // tokens of the whole prompt, `buffer` included
  std::optional<double> depth;  // percent; empty: random, as it is for all but a single needle
  int64_t buffer = 200;         // tokens left for everything but needles and haystack
  bool standard = false;        // the sandwich in San Francisco instead of a random needle; single only
  bool answer_prefix = true;    // the answer begins with the needle's words up to the value
  NeedleKind kind = NeedleKind::single;
  int64_t needles = 1;  // multi_*: how many stand in the haystack, 2 to 16
};

struct NeedlePrompt {
  BuiltPrompt prompt;                 // references: the values, or the needle itself where it is the standard one
  std::vector<std::string> keywords;  // an answer is correct when all occur (metrics/string_match.h)
  std::vector<std::string> recall;    // the words whose share among those found is the keyword recall
};

// Needles and haystack take length - buffer tokens, or one less. A needle stands directly behind the last period token
// at or before its depth; depth 0 is the very beginning, 100 the very end. Each occurs once. Throws InputError for a
// length that is too small, UsageError for other numbers.
NeedlePrompt build_needle(const PromptEncoder& encoder, const Filler& haystack, const NeedleSpec& spec, uint64_t seed);

}  // namespace steno
