// The stream of methods whose memory is text, not keys and values: token ids are kept, and what is to be read is read
// again as a fresh prompt at positions 0, 1, 2, ... (cache_policies, section 9: R3, R4, R5).
#pragma once
#include <memory>

#include "memory/reread_window.h"
#include "memory/stream_frame.h"

namespace steno {

struct RereadConfig {
  StreamKind kind;
  WindowRule window;
  int64_t chunk_size = 2048;
  std::string reading;  // Accounting::reading
};

// Text: windows begin at fixed places, whatever the feeds were, and the question that passages are found for is the
// `block` tokens before them: no token is found by itself. A feed with LogitRows::none stores ids and runs nothing.
//
// Questions (with a finder): a feed of two or more tokens with LogitRows::last. Its window begins behind it, so that
// `block` tokens are free for the answer: the single tokens with logits that follow. When the window is full the next
// one is built for the same question. Any other feed ends the answer, and all of it is text from then on. Of a question
// longer than WindowRule::longest_question() the newest part is the question and the rest is text.
//
// Slots are the tokens of the current window. Accounting::memory_bytes are the ids that are kept (all with a finder,
// the window's without), the index, and the keys and values of the window while they are held.
std::unique_ptr<Stream> open_reread_stream(std::shared_ptr<const Decoder> decoder, const RereadConfig& config,
                                           std::unique_ptr<PassageFinder> finder = nullptr);

}  // namespace steno
