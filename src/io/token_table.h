// The two look-ups that tokenisation lives on: spelling -> id and (left id, right id) -> merge. Both are flat tables
// with open addressing: 50,000 entries are filled in a few milliseconds and found in one or two cache lines.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "io/tokenizer.h"

namespace steno {

inline constexpr TokenId kNoToken = -1;

// Spelling -> id. Keys are views: the caller owns the bytes and keeps them in place.
class TokenIndex {
 public:
  explicit TokenIndex(size_t expected = 0);
  // False when the spelling is there already (the first id stays).
  bool insert(std::string_view spelling, TokenId id);
  TokenId find(std::string_view spelling) const;  // kNoToken when absent
  size_t size() const { return size_; }

 private:
  struct Slot {
    uint64_t hash;
    const char* data;
    uint32_t length;
    TokenId id = kNoToken;
  };
  void grow(size_t slots);

  std::vector<Slot> slots_;  // a power of two, at most half full
  size_t size_ = 0;
};

// The merges of a BPE vocabulary. A lower rank is merged first; among equal ranks the leftmost pair is.
class MergeTable {
 public:
  struct Merge {
    uint32_t rank;
    TokenId id;  // what the pair becomes
  };

  explicit MergeTable(size_t expected = 0);
  // False when the pair is there already (the first merge stays).
  bool insert(TokenId left, TokenId right, Merge merge);
  const Merge* find(TokenId left, TokenId right) const;
  size_t size() const { return size_; }
  // Merges `symbols` until no pair is left that has a merge. O(n log n) in their number. Symbols below 0 never merge.
  void apply(std::vector<TokenId>& symbols) const;

 private:
  struct Slot {
    uint64_t pair;
    Merge merge;
  };
  void grow(size_t slots);
  size_t slot_of(uint64_t pair) const { return (pair * 0x9E3779B97F4A7C15ull) >> shift_; }
  void apply_short(std::vector<TokenId>& symbols) const;
  void apply_long(std::vector<TokenId>& symbols) const;

  std::vector<Slot> slots_;
  int shift_ = 64;
  size_t size_ = 0;
};

}  // namespace steno
