// Log-probabilities in the shape of OpenAI's completions, with token ids added.
#pragma once
#include <vector>

#include "cli/output.h"
#include "io/tokenizer.h"
#include "memory/generate.h"

namespace steno {

// Arrays with one element per position, of `prompt` (empty without --echo) and then of the answer: "tokens",
// "token_ids", "token_logprobs" (null for the first token of a prompt: nothing predicts it), "top_logprobs" (at most
// `best`, most probable first) and "text_offset" (bytes). A token that is part of a character is spelled
// "bytes:\xe2\x80".
Json logprobs_json(const Tokenizer& tokenizer, const std::vector<TokenId>& prompt, const Generated& generated,
                   int64_t best);

}  // namespace steno
