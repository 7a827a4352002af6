#include "io/token_table.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <queue>

namespace steno {
namespace {

constexpr uint64_t kEmptyPair = ~0ull;
constexpr uint32_t kNoRank = ~0u;
// Up to here a scan over all pairs is faster than a heap.
constexpr size_t kShortWord = 48;

uint64_t hash_of(std::string_view text) { return XXH3_64bits(text.data(), text.size()); }

uint64_t pair_of(TokenId left, TokenId right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

size_t slots_for(size_t expected) { return std::bit_ceil(std::max<size_t>(expected * 2, 16)); }

}  // namespace

TokenIndex::TokenIndex(size_t expected) { grow(slots_for(expected)); }

void TokenIndex::grow(size_t slots) {
  std::vector<Slot> old(slots);
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.id == kNoToken) continue;
    size_t at = slot.hash & (slots_.size() - 1);
    while (slots_[at].id != kNoToken) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = slot;
  }
}

bool TokenIndex::insert(std::string_view spelling, TokenId id) {
  if ((size_ + 1) * 2 > slots_.size()) grow(slots_.size() * 2);
  const uint64_t hash = hash_of(spelling);
  size_t at = hash & (slots_.size() - 1);
  for (; slots_[at].id != kNoToken; at = (at + 1) & (slots_.size() - 1)) {
    const Slot& slot = slots_[at];
    if (slot.hash == hash && std::string_view(slot.data, slot.length) == spelling) return false;
  }
  slots_[at] = {hash, spelling.data(), static_cast<uint32_t>(spelling.size()), id};
  ++size_;
  return true;
}

TokenId TokenIndex::find(std::string_view spelling) const {
  const uint64_t hash = hash_of(spelling);
  for (size_t at = hash & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1)) {
    const Slot& slot = slots_[at];
    if (slot.id == kNoToken) return kNoToken;
    if (slot.hash == hash && std::string_view(slot.data, slot.length) == spelling) return slot.id;
  }
}

MergeTable::MergeTable(size_t expected) { grow(slots_for(expected)); }

void MergeTable::grow(size_t slots) {
  std::vector<Slot> old(slots, Slot{kEmptyPair, {}});
  old.swap(slots_);
  shift_ = 64 - std::countr_zero(slots);
  for (const Slot& slot : old) {
    if (slot.pair == kEmptyPair) continue;
    size_t at = slot_of(slot.pair);
    while (slots_[at].pair != kEmptyPair) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = slot;
  }
}

bool MergeTable::insert(TokenId left, TokenId right, Merge merge) {
  if ((size_ + 1) * 2 > slots_.size()) grow(slots_.size() * 2);
  const uint64_t pair = pair_of(left, right);
  size_t at = slot_of(pair);
  for (; slots_[at].pair != kEmptyPair; at = (at + 1) & (slots_.size() - 1))
    if (slots_[at].pair == pair) return false;
  slots_[at] = {pair, merge};
  ++size_;
  return true;
}

const MergeTable::Merge* MergeTable::find(TokenId left, TokenId right) const {
  if ((left | right) < 0) return nullptr;
  const uint64_t pair = pair_of(left, right);
  for (size_t at = slot_of(pair);; at = (at + 1) & (slots_.size() - 1)) {
    if (slots_[at].pair == pair) return &slots_[at].merge;
    if (slots_[at].pair == kEmptyPair) return nullptr;
  }
}

void MergeTable::apply(std::vector<TokenId>& symbols) const {
  if (symbols.size() < 2) return;
  if (symbols.size() <= kShortWord)
    apply_short(symbols);
  else
    apply_long(symbols);
}

void MergeTable::apply_short(std::vector<TokenId>& symbols) const {
  // merges[i] is the merge of symbols i and i + 1.
  std::array<Merge, kShortWord> merges;
  const auto look_up = [&](size_t i) {
    const Merge* merge = find(symbols[i], symbols[i + 1]);
    merges[i] = merge ? *merge : Merge{kNoRank, kNoToken};
  };
  size_t count = symbols.size();
  for (size_t i = 0; i + 1 < count; ++i) look_up(i);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i)
      if (merges[i].rank < merges[best].rank) best = i;
    if (merges[best].rank == kNoRank) break;
    symbols[best] = merges[best].id;
    for (size_t i = best + 1; i + 1 < count; ++i) symbols[i] = symbols[i + 1], merges[i - 1] = merges[i];
    --count;
    if (best > 0) look_up(best - 1);
    if (best + 1 < count) look_up(best);
  }
  symbols.resize(count);
}

void MergeTable::apply_long(std::vector<TokenId>& symbols) const {
  struct Candidate {
    uint32_t rank;
    size_t at;  // the left symbol
    TokenId left, right, id;
    // The standard heap keeps the largest on top.
    bool operator<(const Candidate& other) const { return rank != other.rank ? rank > other.rank : at > other.at; }
  };
  constexpr size_t kEnd = ~size_t{0};
  const size_t count = symbols.size();
  std::vector<size_t> previous(count), next(count);
  for (size_t i = 0; i < count; ++i) previous[i] = i == 0 ? kEnd : i - 1, next[i] = i + 1 == count ? kEnd : i + 1;

  std::vector<Candidate> storage;
  storage.reserve(count);
  const auto candidate = [&](size_t at, auto&& use) {
    if (at == kEnd || next[at] == kEnd) return;
    const TokenId left = symbols[at], right = symbols[next[at]];
    if (const Merge* merge = find(left, right)) use(Candidate{merge->rank, at, left, right, merge->id});
  };
  for (size_t i = 0; i + 1 < count; ++i) candidate(i, [&](const Candidate& found) { storage.push_back(found); });
  std::priority_queue<Candidate> queue({}, std::move(storage));

  constexpr TokenId kGone = std::numeric_limits<TokenId>::min();
  while (!queue.empty()) {
    const Candidate top = queue.top();
    queue.pop();
    const size_t right = next[top.at];
    // An earlier merge may have taken one of the two.
    if (symbols[top.at] != top.left || right == kEnd || symbols[right] != top.right) continue;
    symbols[top.at] = top.id;
    symbols[right] = kGone;
    next[top.at] = next[right];
    if (next[right] != kEnd) previous[next[right]] = top.at;
    candidate(previous[top.at], [&](const Candidate& found) { queue.push(found); });
    candidate(top.at, [&](const Candidate& found) { queue.push(found); });
  }
  std::erase(symbols, kGone);
}

}  // namespace steno
