// What a trainer reads: token sequences with a fixed place in a fixed order.
#pragma once
#include <cstdint>
#include <vector>

#include "io/tokenizer.h"

namespace steno {

// A text has one part; a question-answer record has three: context, prompt, answer. No special tokens are in them.
struct Example {
  std::vector<std::vector<TokenId>> parts;
  // Number of this sample in the run: 0 is the first that any rank sees. Every random choice about it is drawn from
  // (seed, sample), so that neither ranks nor accumulation nor a restart change what is learned.
  uint64_t sample = 0;
};

}  // namespace steno
