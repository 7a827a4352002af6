// For tests only: two compressors that need no training.
//
// VerbatimCompressor: a slot is the embedding of a token, so that reading slots is reading the text, and whatever reads
// memories must give what the decoder gives for the text itself.
// CopyCompressor: a slot is the number of a token; its reader writes them back without any model, right for the first
// `capacity` tokens of a span only. What it gets wrong is known.
#pragma once
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "base/error.h"
#include "memory/bank.h"
#include "memory/compressor.h"
#include "memory/stream_frame.h"

namespace steno::test {

class VerbatimReader : public MemoryReader {
 public:
  explicit VerbatimReader(std::shared_ptr<const Decoder> decoder)
      : decoder_(std::move(decoder)), bank_(decoder_->config(), decoder_->compute_dtype(), decoder_->device()) {}

  FeedResult feed(std::span<const TokenId> tokens, LogitRows logits,
                  const std::function<void(int64_t)>& progress = {}) override {
    const c10::InferenceMode inference;
    check_token_ids(tokens, decoder_->config().vocab);
    const int64_t first = seen_;
    FeedResult result;
    result.logits =
        feed_in_chunks(tokens, logits, chunk_size(), progress, [&](std::span<const TokenId> chunk, LogitRows rows) {
          const at::Tensor ids = at::empty({1, static_cast<int64_t>(chunk.size())}, at::kLong);
          std::copy(chunk.begin(), chunk.end(), ids.mutable_data_ptr<int64_t>());
          Input in;
          in.ids = ids;
          in.logits = rows;
          return run(std::move(in), ids.size(1)).logits;
        });
    result.first_position = logits == LogitRows::last ? seen_ - 1 : first;
    return result;
  }

  void read_slots(std::span<const SpanSlots> spans) override {
    const c10::InferenceMode inference;
    for (const SpanSlots& span : spans) {
      if (span.tensors.size() != 1 || span.tensors[0].first != "slots") throw InputError("[verbatim] no such slots");
      Input in;
      in.embeddings = span.tensors[0].second.unsqueeze(0);
      in.logits = LogitRows::none;
      run(std::move(in), span.slots());
    }
  }

  FeedResult begin(ReaderTask, LogitRows) override { return {}; }

  at::Tensor feed_attending(std::span<const TokenId> tokens) override {
    const c10::InferenceMode inference;
    const int64_t before = bank_.size(), count = static_cast<int64_t>(tokens.size());
    const at::Tensor ids = at::empty({1, count}, at::kLong);
    std::copy(tokens.begin(), tokens.end(), ids.mutable_data_ptr<int64_t>());
    Input in;
    in.ids = ids;
    in.logits = LogitRows::none;
    in.capture.mass = true;
    const Output out = run(std::move(in), count);
    at::Tensor given = at::zeros({before}, at::kFloat);
    for (const at::Tensor& mass : out.mass) given += mass[0].narrow(1, 0, before).mean(0);
    return given / static_cast<double>(count * static_cast<int64_t>(out.mass.size()));
  }

  int64_t vocab() const override { return decoder_->config().vocab; }
  int64_t tokens_seen() const override { return seen_; }
  int64_t chunk_size() const override { return 64; }
  Accounting accounting() const override {
    Accounting a;
    a.source_tokens = seen_;
    a.slots = a.peak_slots = bank_.size();
    a.memory_bytes = bank_.memory_bytes();
    a.allocated_bytes = bank_.allocated_bytes();
    return a;
  }
  std::unique_ptr<Stream> fork() const override {
    auto copy = std::make_unique<VerbatimReader>(decoder_);
    copy->bank_ = bank_.fork();
    copy->seen_ = seen_;
    return copy;
  }
  std::vector<int64_t> kept_positions(int64_t, int64_t) const override { return bank_.table().positions(); }
  void save(const std::string&, const Identity&) const override { throw UsageError("[verbatim] cannot be saved"); }
  void load(const std::string&, const Identity&) override { throw UsageError("[verbatim] cannot be loaded"); }

 private:
  Output run(Input in, int64_t steps) {
    bank_.reserve(steps);
    in.rows = bank_.rows_for(steps);
    if (has_sliding_layers(decoder_->config()))
      in.row_positions = {at::tensor(bank_.table().positions(), at::kLong).unsqueeze(0)};
    Output out = decoder_->run(in);
    std::vector<Slot> own(static_cast<size_t>(steps));
    for (Slot& slot : own) slot.position = seen_++;
    bank_.commit(own);
    return out;
  }

  std::shared_ptr<const Decoder> decoder_;
  Bank bank_;
  int64_t seen_ = 0;
};

class VerbatimCompressor : public Compressor {
 public:
  VerbatimCompressor(std::shared_ptr<const Decoder> decoder, int64_t span_tokens, int64_t window)
      : decoder_(std::move(decoder)), span_tokens_(span_tokens), window_(window) {}

  int64_t span_tokens() const override { return span_tokens_; }
  int64_t slots_per_span() const override { return span_tokens_; }
  int64_t window() const override { return window_; }
  Identity identity() const override { return {{"adapter", "verbatim"}}; }
  std::vector<SpanSlots> compress(std::span<const std::vector<TokenId>> spans) const override {
    const c10::InferenceMode inference;
    std::vector<SpanSlots> written;
    for (const std::vector<TokenId>& span : spans) {
      const at::Tensor ids = at::empty({1, static_cast<int64_t>(span.size())}, at::kLong);
      std::copy(span.begin(), span.end(), ids.mutable_data_ptr<int64_t>());
      written.push_back({{{"slots", decoder_->embed(ids)[0]}}, static_cast<int64_t>(span.size())});
    }
    return written;
  }
  std::unique_ptr<MemoryReader> open_reader() const override { return std::make_unique<VerbatimReader>(decoder_); }

 private:
  std::shared_ptr<const Decoder> decoder_;
  int64_t span_tokens_, window_;
};

// Whatever it is fed, it says what the slots say, token after token, and then `end`.
class CopyReader : public MemoryReader {
 public:
  CopyReader(int64_t vocab, TokenId end) : vocab_(vocab), end_(end) {}

  FeedResult feed(std::span<const TokenId> tokens, LogitRows logits,
                  const std::function<void(int64_t)>& = {}) override {
    check_token_ids(tokens, vocab_);
    const auto count = static_cast<int64_t>(tokens.size());
    at::Tensor rows = at::zeros({count, vocab_});
    for (int64_t i = 0; i < count; ++i) rows[i][next(said_ + i + 1)] = 1;
    said_ += count;
    if (logits == LogitRows::none) rows = at::Tensor();
    if (logits == LogitRows::last) rows = rows.narrow(0, count - 1, 1);
    return {said_ - 1, rows};
  }
  void read_slots(std::span<const SpanSlots> spans) override {
    for (const SpanSlots& span : spans) {
      const at::Tensor ids = span.tensors.at(0).second.to(at::kFloat).contiguous();
      for (int64_t i = 0; i < span.source_tokens; ++i)
        text_.push_back(static_cast<TokenId>(std::lround(ids.const_data_ptr<float>()[i])));
    }
  }
  FeedResult begin(ReaderTask, LogitRows logits) override {
    said_ = -1;
    const TokenId task = 0;
    return feed(std::span(&task, 1), logits);
  }
  int64_t vocab() const override { return vocab_; }
  int64_t tokens_seen() const override { return said_; }
  int64_t chunk_size() const override { return 1 << 20; }
  Accounting accounting() const override { return {}; }
  std::unique_ptr<Stream> fork() const override { return std::make_unique<CopyReader>(*this); }
  std::vector<int64_t> kept_positions(int64_t, int64_t) const override { return {}; }
  void save(const std::string&, const Identity&) const override {}
  void load(const std::string&, const Identity&) override {}

 private:
  TokenId next(int64_t i) const {
    if (i < 0 || i >= static_cast<int64_t>(text_.size())) return end_;
    return std::clamp<TokenId>(text_[static_cast<size_t>(i)], 0, static_cast<TokenId>(vocab_ - 1));
  }
  int64_t vocab_, said_ = 0;
  TokenId end_;
  std::vector<TokenId> text_;
};

class CopyCompressor : public Compressor {
 public:
  // `wrong` stands in the place of every token behind the first `capacity`.
  CopyCompressor(int64_t vocab, int64_t span_tokens, int64_t slots, int64_t capacity, TokenId wrong, TokenId end)
      : vocab_(vocab), span_tokens_(span_tokens), slots_(slots), capacity_(capacity), wrong_(wrong), end_(end) {}

  int64_t span_tokens() const override { return span_tokens_; }
  int64_t slots_per_span() const override { return slots_; }
  int64_t window() const override { return 1 << 20; }
  Identity identity() const override { return {}; }
  // [slots, ceil(span_tokens / slots)]: the ids in order, row by row.
  std::vector<SpanSlots> compress(std::span<const std::vector<TokenId>> spans) const override {
    std::vector<SpanSlots> written;
    for (const std::vector<TokenId>& span : spans) {
      at::Tensor ids = at::zeros({slots_, (span_tokens_ + slots_ - 1) / slots_});
      for (size_t i = 0; i < span.size(); ++i)
        ids.mutable_data_ptr<float>()[i] = static_cast<float>(static_cast<int64_t>(i) < capacity_ ? span[i] : wrong_);
      written.push_back({{{"slots", ids}}, static_cast<int64_t>(span.size())});
    }
    return written;
  }
  std::unique_ptr<MemoryReader> open_reader() const override { return std::make_unique<CopyReader>(vocab_, end_); }

 private:
  int64_t vocab_, span_tokens_, slots_, capacity_;
  TokenId wrong_, end_;
};

}  // namespace steno::test
