#include "methods/icae/positions.h"

#include <algorithm>

#include "base/error.h"

namespace steno::icae {
namespace {

// Behind the first of the `tokens` positions of a span. (c - 1) / 2 + j c = (tokens - k + 2 j tokens) / 2k; a half
// more, and the division rounds to the nearest.
int64_t slot_offset(int64_t j, int64_t k, int64_t tokens) { return (2 * j + 1) * tokens / (2 * k); }

}  // namespace

PositionLayout position_layout_named(const std::string& owner, const std::string& name) {
  if (name == "standard") return PositionLayout::standard;
  if (name == "enhanced") return PositionLayout::enhanced;
  throw UsageError("[{}] positions is '{}'; it is standard or enhanced", owner, name);
}

std::vector<int64_t> encoder_positions(PositionLayout layout, int64_t k, int64_t tokens) {
  std::vector<int64_t> positions;
  for (int64_t t = 0; t < tokens; ++t) positions.push_back(t);
  for (int64_t j = 0; j < k; ++j)
    positions.push_back(layout == PositionLayout::standard ? tokens + j : slot_offset(j, k, tokens));
  return positions;
}

void PositionCursor::add_tokens(int64_t count, std::vector<int64_t>& positions) {
  for (int64_t i = 0; i < count; ++i) positions.push_back(next_++);
}

void PositionCursor::add_span(int64_t tokens, std::vector<int64_t>& positions) {
  if (layout_ == PositionLayout::standard) return add_tokens(k_, positions);
  next_ = std::max<int64_t>(next_, 1);  // 0 is [AE]'s
  if (text_begin_ < 0) text_begin_ = next_;
  for (int64_t j = 0; j < k_; ++j) positions.push_back(next_ + slot_offset(j, k_, tokens));
  next_ += tokens;
}

void PositionCursor::add_reconstruct(std::vector<int64_t>& positions) {
  if (layout_ == PositionLayout::enhanced && text_begin_ >= 0) next_ = text_begin_ - 1;
  add_tokens(1, positions);
}

void PositionCursor::add_task(std::vector<int64_t>& positions) {
  if (layout_ == PositionLayout::enhanced && next_ > 0) --next_;
  add_tokens(1, positions);
}

}  // namespace steno::icae
