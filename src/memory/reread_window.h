// Which tokens of a long text are read again: positions only, no tensor and no token id.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "io/tokenizer.h"

namespace steno {

using PositionRange = std::pair<int64_t, int64_t>;  // [first, end)

// Finds passages of the text that was read so far.
class PassageFinder {
 public:
  virtual ~PassageFinder() = default;
  virtual void append(std::span<const TokenId> tokens) = 0;
  // Passages that lie wholly before position `before` and match the query, best first. Nothing at or after `before` has
  // any influence.
  virtual std::vector<PositionRange> find(std::span<const TokenId> query, int64_t before) const = 0;
  virtual int64_t memory_bytes() const = 0;  // of the index, without the text
  virtual std::unique_ptr<PassageFinder> fork() const = 0;
  virtual void clear() = 0;
};

// A window is at most `budget` tokens that one query reads, itself included. As long as the text fits, the window is
// the text. After that, the window before position `begin` is built of
//   1. the first `start` tokens,
//   2. the question and the `recent` tokens before it; the newest of them where they do not fit,
//   3. with a finder: passages for the question, best first, each one that still fits,
//   4. the newest tokens of the rest, until `block` tokens of the budget are free.
// Tokens from `begin` on are appended until the window is full.
struct WindowRule {
  int64_t budget = 1, start = 0, recent = 0, block = 1;  // budget >= start + block

  // Where the window of the token at `position` begins when no question was asked: 0 while the text fits, then at
  // budget, budget + block, budget + 2 block, ...
  int64_t begin_for(int64_t position) const {
    return position < budget ? 0 : budget + (position - budget) / block * block;
  }
  // Tokens in that window after n tokens: what the last one read, itself included.
  int64_t size_after(int64_t n) const {
    const int64_t begin = n > 0 ? begin_for(n - 1) : 0;
    return begin == 0 ? n : budget - block + n - begin;
  }
  int64_t longest_question() const { return std::max<int64_t>(1, (budget - start - block) / 2); }
};

struct Window {
  int64_t begin = 0;                             // tokens [begin, seen) follow the context
  int64_t question_begin = 0, question_end = 0;  // what the passages were found for
  std::vector<PositionRange> context;            // ascending, disjoint, before `begin`
  int64_t start = 0, passages = 0;               // tokens of the context that are there for this reason
  int64_t tail = 0;                              // first position of its last range

  int64_t context_size() const;
  int64_t size(int64_t seen) const { return context_size() + seen - begin; }
  // Positions of the window's tokens [row, end row) among those of a text of `seen` tokens, ascending.
  std::vector<int64_t> positions(int64_t seen) const;
};

// begin >= rule.budget. `passages(before)`: what a finder returns for the question; empty without one.
Window window_before(const WindowRule& rule, int64_t begin, int64_t question_begin, int64_t question_end,
                     const std::function<std::vector<PositionRange>(int64_t before)>& passages);

}  // namespace steno
