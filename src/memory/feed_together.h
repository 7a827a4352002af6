// Decoding several conversations at once.
#pragma once
#include <span>
#include <vector>

#include "memory/stream.h"

namespace steno {

// stream[i].feed(tokens[i]) for every i, with the same results; streams of one decoder share the reading of its weights
// (Decoder::run_together), whatever their methods and lengths. The streams must be different objects. Throws InputError
// for an unknown token before any stream has changed.
std::vector<FeedResult> feed_together(std::span<Stream* const> streams, std::span<const TokenId> tokens,
                                      LogitRows logits);

}  // namespace steno
