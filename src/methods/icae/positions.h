// Where things stand for RoPE (icae, sections 3 and 9), in integers. Who reads what never depends on it: that is the
// order of reading.
//
// standard: everything takes the next position; a span of any length takes k of them.
// enhanced (Zhao et al., arXiv 2409.14364): slots stand among the positions of the text they were written for, and what
// is rebuilt stands where it stood. A slot is near what it holds, for the writer as for the reader, and a span takes as
// many positions as it has tokens.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace steno::icae {

enum class PositionLayout { standard, enhanced };
// "standard", "enhanced". Throws UsageError for anything else; `owner` begins the message.
PositionLayout position_layout_named(const std::string& owner, const std::string& name);

// The encoder's sequence: a span of `tokens` and its k memory tokens. Enhanced: memory token j of a span that begins at
// x stands at round(x + (c - 1) / 2 + j c), c = tokens / k, halves up. x is 0 in every span: RoPE sees differences
// only, so the source's x = 1, 2, ... through the document gives the same slots but for rounding, and these do not
// depend on the place of their span.
std::vector<int64_t> encoder_positions(PositionLayout layout, int64_t k, int64_t tokens);

// Hands out the decoder's positions in the order of reading. Enhanced: text that slots stand for begins at 1 (later
// where tokens stand before it), span behind span; [AE] stands one before the first span's text, and what follows
// begins again with it; [LM] and [FT] stand at the last position of the text, and what follows behind it.
class PositionCursor {
 public:
  PositionCursor(PositionLayout layout, int64_t k) : layout_(layout), k_(k) {}
  // Appends the positions of `count` tokens, of the k slots of a span of `tokens`, of a task's token.
  void add_tokens(int64_t count, std::vector<int64_t>& positions);
  void add_span(int64_t tokens, std::vector<int64_t>& positions);
  void add_reconstruct(std::vector<int64_t>& positions);
  void add_task(std::vector<int64_t>& positions);

  int64_t next() const { return next_; }
  int64_t text_begin() const { return text_begin_; }  // of the first span; -1: none was read
  void restore(int64_t next, int64_t text_begin) { next_ = next, text_begin_ = text_begin; }

 private:
  PositionLayout layout_;
  int64_t k_, next_ = 0, text_begin_ = -1;
};

}  // namespace steno::icae
