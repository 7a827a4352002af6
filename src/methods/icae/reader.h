// Reading slots: they enter the frozen decoder as input embeddings at the next positions, and what is kept is keys and
// values, as of any token (icae, section 7).
#pragma once
#include <memory>

#include "memory/bank.h"
#include "memory/compressor.h"
#include "memory/stream_frame.h"
#include "methods/icae/adapter.h"

namespace steno::icae {

// Dense: nothing is dropped. Roles: "slot", "token", "task" (AE, LM, FT).
class Reader : public MemoryReader {
 public:
  Reader(std::shared_ptr<const Decoder> decoder, std::shared_ptr<const Adapter> adapter, StreamKind kind,
         int64_t chunk_size);

  void read_slots(std::span<const SpanSlots> spans) override;
  // slots [n, d] f32 on any device, k for each of `spans`, which are the encoder's tokens of each. `source_tokens`: how
  // many tokens of the stream they stand for (BOS may be the encoder's alone).
  void read_embeddings(const at::Tensor& slots, std::span<const int64_t> spans, int64_t source_tokens);
  FeedResult begin(ReaderTask task, LogitRows logits) override;
  at::Tensor feed_attending(std::span<const TokenId> tokens) override;

  FeedResult feed(std::span<const TokenId> tokens, LogitRows logits,
                  const std::function<void(int64_t)>& progress) override;
  PendingToken begin_token(TokenId token, LogitRows logits) override;
  int64_t vocab() const override { return decoder_->config().vocab; }
  int64_t tokens_seen() const override { return source_tokens_; }
  int64_t chunk_size() const override { return chunk_size_; }
  Accounting accounting() const override;
  std::unique_ptr<Stream> fork() const override;
  std::vector<int64_t> kept_positions(int64_t layer, int64_t kv_head) const override;
  void save(const std::string& path, const Identity& identity) const override;
  void load(const std::string& path, const Identity& identity) override;

  // For a stream that wraps a reader and saves more than it.
  Reader copy() const;
  std::map<std::string, int64_t> counts() const;
  NamedTensors tensors() const { return bank_.save(); }
  // Throws InputError without the file's name; changes nothing then.
  void restore(const SavedStream& file);
  int64_t slots() const { return slots_; }
  const Adapter& adapter() const { return *adapter_; }
  const Decoder& decoder() const { return *decoder_; }

 private:
  Reader(const Reader& other);
  at::Tensor ids_row(std::span<const TokenId> tokens) const;  // [1, T] on the decoder's device
  Input next_input(std::span<const int64_t> positions, LogitRows logits);
  // What was read at `positions`; the cursor has handed them out.
  void commit(std::span<const int64_t> positions, Role role, const PositionCursor& cursor);
  at::Tensor read(const at::Tensor& embeddings, std::span<const int64_t> positions, LogitRows logits,
                  const PositionCursor& cursor);

  std::shared_ptr<const Decoder> decoder_;
  std::shared_ptr<const Adapter> adapter_;
  StreamKind kind_;
  int64_t chunk_size_;
  PositionCursor cursor_;
  Bank bank_;  // in the order of reading; slots stand at their RoPE positions
  int64_t source_tokens_ = 0, slots_ = 0, tasks_ = 0;
};

// What saved readers and streams of an adapter agree on.
StreamKind reader_kind(const std::string& method, const Adapter& adapter);

}  // namespace steno::icae
