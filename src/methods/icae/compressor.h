// Text to slots, one span after the other, with an adapter that does not change any more.
#pragma once
#include <memory>

#include "memory/compressor.h"
#include "methods/icae/adapter.h"

namespace steno::icae {

class IcaeCompressor : public Compressor {
 public:
  IcaeCompressor(std::shared_ptr<const Decoder> decoder, std::shared_ptr<const Adapter> adapter)
      : decoder_(std::move(decoder)), adapter_(std::move(adapter)), hash_(adapter_->hash()) {}

  int64_t span_tokens() const override { return adapter_->settings.span_tokens(); }
  int64_t slots_per_span() const override { return adapter_->settings.k; }
  int64_t span_positions(int64_t source_tokens) const override {
    return adapter_->settings.position_layout() == PositionLayout::standard ? slots_per_span() : source_tokens;
  }
  std::optional<TokenId> opening_token() const override {
    if (adapter_->settings.bos < 0) return std::nullopt;
    return static_cast<TokenId>(adapter_->settings.bos);
  }
  std::optional<TokenId> reconstruction_end() const override {
    if (adapter_->settings.eos < 0) return std::nullopt;
    return static_cast<TokenId>(adapter_->settings.eos);
  }
  std::optional<InstructionTemplate> instruction_template() const override {
    const Settings& s = adapter_->settings;
    if (!s.instruct && s.before.empty() && s.after.empty()) return std::nullopt;
    InstructionTemplate stated{ids_of(s.before), ids_of(s.after), {}};
    if (s.answer_end >= 0) stated.end = static_cast<TokenId>(s.answer_end);
    return stated;
  }
  int64_t window() const override { return decoder_->config().max_positions; }
  Identity identity() const override { return {{"adapter", hash_}}; }
  std::vector<SpanSlots> compress(std::span<const std::vector<TokenId>> spans) const override;
  std::unique_ptr<MemoryReader> open_reader() const override;

 private:
  std::shared_ptr<const Decoder> decoder_;
  std::shared_ptr<const Adapter> adapter_;
  std::string hash_;
};

}  // namespace steno::icae
