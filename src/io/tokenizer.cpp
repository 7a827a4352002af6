#include "io/tokenizer.h"

#include <utility>

#include "base/utf8.h"

namespace steno {

StreamDecoder::StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special)
    : tokenizer_(std::move(tokenizer)), skip_special_(skip_special) {}

std::string StreamDecoder::push(TokenId id) {
  if (skip_special_ && tokenizer_->is_special(id)) return {};
  // A text of this token alone begins as the whole text does.
  pending_ += first_ ? tokenizer_->decode({&id, 1}) : tokenizer_->piece(id);
  first_ = false;
  const size_t complete = complete_utf8_prefix(pending_);
  std::string ready = pending_.substr(0, complete);
  pending_.erase(0, complete);
  return ready;
}

std::string StreamDecoder::flush() { return std::exchange(pending_, {}); }

}  // namespace steno
