// How well a stream predicts a text: -ln p(x_t | what is kept of the past), for every token but the first.
#pragma once
#include <span>
#include <vector>

#include "eval/task.h"
#include "memory/stream.h"

namespace steno {

// logits [T, V] f32, one target per row -> nats [T]. log-softmax in f32, in blocks of rows, so that no second [T, V]
// comes into being. Throws InputError for targets outside the vocabulary.
std::vector<double> row_nll(const at::Tensor& logits, std::span<const TokenId> targets);

// Feeds all of `ids`; entry t is the nll of ids[t], entry 0 is NaN (nothing comes before it). A method that reads
// utterances is told where they end (ascending counts of tokens). Pieces of the stream's own chunk size, at most
// `kNllChunk` where the method promises that this changes nothing, for the logits of a chunk are large. The first
// `context` tokens are read without asking for logits, as what is to be remembered; they and the token after them are
// not scored (NaN).
inline constexpr int64_t kNllChunk = 512;
std::vector<double> read_nll(Stream& stream, const Method& method, std::span<const TokenId> ids,
                             std::span<const int64_t> utterance_ends, const ItemProgress& progress,
                             int64_t context = 0);

}  // namespace steno
