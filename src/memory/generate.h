// The answering loop: prompt in, tokens out, through a stream.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "io/tokenizer.h"
#include "memory/stream.h"
#include "model/sampler.h"

namespace steno {

struct GenerateOptions {
  SamplerConfig sampler;
  int64_t max_new_tokens = 256;
  std::vector<std::string> stop;    // texts that end the answer; they are not part of it
  bool stop_at_end_of_turn = true;  // the tokenizer's end_of_generation() ids, and `ends`
  std::vector<TokenId> ends;        // further ids that end an answer
  int64_t logprobs = 0;             // k best per position
  bool echo_logprobs = false;       // of the prompt's tokens too (the first has none)
};

enum class StopReason { end_of_turn, stop_text, length, interrupted };
const char* stop_reason_name(StopReason reason);

struct Generated {
  std::string text;             // without the stop text
  std::vector<TokenId> tokens;  // all sampled ids: those of a stop text too, an end-of-turn token not
  StopReason reason = StopReason::length;
  double first_token_s = 0;    // from the call to the first sampled token, prompt included
  double decode_s = 0;         // after the first token
  int64_t decoded_tokens = 0;  // tokens that `decode_s` is for
  std::vector<PositionLogprobs> prompt_logprobs, logprobs;
  double decode_tokens_per_s() const { return decode_s > 0 ? static_cast<double>(decoded_tokens) / decode_s : 0; }
};

// Feeds `prompt` (at least one token) and samples. `on_text` gets complete UTF-8 text as it comes; text that could
// begin a stop text is held back. Ctrl-C ends the answer with StopReason::interrupted; while the prompt is read,
// Interrupted is thrown instead. `on_prompt_read` is called when the prompt is read and nothing is decoded yet: what
// the memory holds then is what the answer is given from.
Generated generate(Stream& stream, std::shared_ptr<const Tokenizer> tokenizer, std::span<const TokenId> prompt,
                   const GenerateOptions& options, const std::function<void(std::string_view)>& on_text = {},
                   const std::function<void(int64_t)>& on_prompt_progress = {},
                   const std::function<void()>& on_prompt_read = {});

}  // namespace steno
