// ICAE as a stream of tokens: what is fed without asking for logits is context and becomes slots, what is fed with
// logits is read as it is, behind them.
#pragma once
#include <memory>

#include "memory/stream.h"
#include "methods/icae/reader.h"

namespace steno::icae {

// Context is collected and written in spans of k * ratio tokens; the rest, a shorter span, is written when logits are
// asked for. A text that begins with the template of instructions (Settings::before) has that read as it is, and BOS
// opens the first span of all where the adapter was trained so. The task token follows the slots: that of instructions
// where a feed asks for its last logits (a question) and the adapter knows instructions, that of continuations, if
// there is one, where all logits are wanted.
class IcaeStream : public Stream {
 public:
  IcaeStream(std::shared_ptr<const Decoder> decoder, std::shared_ptr<const Adapter> adapter, bool task_tokens,
             int64_t chunk_size);

  FeedResult feed(std::span<const TokenId> tokens, LogitRows logits,
                  const std::function<void(int64_t)>& progress) override;
  PendingToken begin_token(TokenId token, LogitRows logits) override;
  int64_t vocab() const override { return reader_.vocab(); }
  int64_t tokens_seen() const override { return reader_.tokens_seen() + static_cast<int64_t>(pending_.size()); }
  int64_t chunk_size() const override { return reader_.chunk_size(); }
  Accounting accounting() const override;
  std::unique_ptr<Stream> fork() const override;
  std::vector<int64_t> kept_positions(int64_t layer, int64_t kv_head) const override;
  void save(const std::string& path, const Identity& identity) const override;
  void load(const std::string& path, const Identity& identity) override;

 private:
  IcaeStream(const IcaeStream& other);
  const Settings& settings() const { return reader_.adapter().settings; }
  void write_whole_spans();
  void write_rest();
  // The first `tokens` of what is pending become a span.
  void write_span(int64_t tokens, bool with_bos);
  void read_template();
  bool opens_with_bos() const;
  void begin_task(LogitRows logits);
  void note_peak();

  Reader reader_;
  StreamKind kind_;
  bool task_tokens_;
  std::vector<TokenId> pending_;  // context that is in no span yet
  int64_t spans_ = 0, shortest_ = 0, peak_slots_ = 0;
  bool untasked_ = false;  // slots were written and no task token has followed them
};

}  // namespace steno::icae
