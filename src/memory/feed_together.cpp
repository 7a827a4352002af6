#include "memory/feed_together.h"

#include <c10/core/InferenceMode.h>

#include <map>

#include "memory/stream_frame.h"

namespace steno {

std::vector<FeedResult> feed_together(std::span<Stream* const> streams, std::span<const TokenId> tokens,
                                      LogitRows logits) {
  TORCH_CHECK(streams.size() == tokens.size(), "one token for every stream");
  for (size_t i = 0; i < streams.size(); ++i) check_token_ids(tokens.subspan(i, 1), streams[i]->vocab());
  const c10::InferenceMode inference;
  std::vector<PendingToken> pending;
  std::map<const Decoder*, std::vector<size_t>> groups;
  for (size_t i = 0; i < streams.size(); ++i) {
    pending.push_back(streams[i]->begin_token(tokens[i], logits));
    groups[pending[i].decoder].push_back(i);
  }
  std::vector<FeedResult> results(streams.size());
  for (const auto& [decoder, members] : groups) {
    if (!decoder) {
      for (const size_t i : members) results[i] = streams[i]->feed(tokens.subspan(i, 1), logits);
      continue;
    }
    std::vector<const Input*> inputs;
    for (const size_t i : members) inputs.push_back(&pending[i].input);
    const std::vector<Output> outputs = decoder->run_together(inputs);
    for (size_t n = 0; n < members.size(); ++n) results[members[n]] = pending[members[n]].finish(outputs[n]);
  }
  return results;
}

}  // namespace steno
