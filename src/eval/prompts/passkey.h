// Passkey retrieval (Mohtashami and Jaggi, arXiv 2305.16300; evaluation, section 4): a number hidden in filler.
#pragma once
#include "eval/prompts/encoder.h"
#include "eval/prompts/filler.h"

namespace steno {

struct PasskeySpec {
  int64_t length = 1024;    // tokens of the whole prompt, context and question
  double depth = 50;        // percent: filler tokens before the key, of all filler tokens
  int64_t digits = 0;       // of the key; 0: uniform in 1..50000
  int64_t distractors = 0;  // other keys, under other labels, at random places; at most 12
  int64_t turn_tokens = 0;  // > 0: the filler stands in lines of about so many tokens, each an utterance, the key too
};

// The key is the only reference. The prompt takes `length` tokens or one less; the key stands where a sentence of the
// filler begins, the nearest to `depth` (an end counts). The key occurs only in its own sentence, and nowhere else in
// the prompt. Throws InputError for a length that holds no filler, UsageError for other numbers.
BuiltPrompt build_passkey(const PromptEncoder& encoder, const Filler& filler, const PasskeySpec& spec, uint64_t seed);

}  // namespace steno
