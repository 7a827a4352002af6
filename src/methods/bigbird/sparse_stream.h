// The stream of DrawnByQuery: all slots are stored, every token reads a few of them.
#pragma once
#include <memory>

#include "memory/stream_frame.h"
#include "methods/bigbird/columns.h"

namespace steno {

// A chunk reads the union of what its tokens read, under a mask: at most window + globals + chunk * random rows, copied
// out of the bank where that is less than half of it. A single token reads its own columns without a mask, and only
// those that it did not share with the token before are copied.
std::unique_ptr<Stream> open_sparse_stream(std::shared_ptr<const Decoder> decoder, const BigBirdSizes& sizes,
                                           const StreamKind& kind, int64_t chunk_size);

}  // namespace steno
