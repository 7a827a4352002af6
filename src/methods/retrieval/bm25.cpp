#include "methods/retrieval/bm25.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

namespace steno {

void Bm25::append(std::span<const TokenId> tokens) {
  for (const TokenId token : tokens) {
    open_.push_back(token);
    if (static_cast<int64_t>(open_.size()) < length_) continue;
    std::sort(open_.begin(), open_.end());
    for (size_t at = 0; at < open_.size();) {
      size_t end = at;
      while (end < open_.size() && open_[end] == open_[at]) ++end;
      terms_[open_[at]].push_back({static_cast<int32_t>(passages_), static_cast<int32_t>(end - at)});
      ++postings_;
      at = end;
    }
    ++passages_;
    open_.clear();
  }
}

std::vector<double> Bm25::scores(std::span<const TokenId> query, int64_t passages) const {
  std::map<TokenId, int64_t> counts;  // ordered: sums do not depend on the order of the query
  for (const TokenId token : query) ++counts[token];
  std::vector<double> scores(static_cast<size_t>(passages), 0.0);
  for (const auto& [token, times] : counts) {
    const auto found = terms_.find(token);
    if (found == terms_.end()) continue;
    const auto begin = found->second.begin();
    const auto end =
        std::lower_bound(begin, found->second.end(), passages,
                         [](const Posting& posting, int64_t passage) { return posting.passage < passage; });
    const auto df = static_cast<double>(end - begin);
    const double idf = std::log(1 + (static_cast<double>(passages) - df + 0.5) / (df + 0.5));
    for (auto posting = begin; posting != end; ++posting) {
      const double tf = posting->count;
      scores[static_cast<size_t>(posting->passage)] += static_cast<double>(times) * idf * tf * (k1_ + 1) / (tf + k1_);
    }
  }
  return scores;
}

std::vector<PositionRange> Bm25::find(std::span<const TokenId> query, int64_t before) const {
  const int64_t passages = std::min(before / length_, passages_);
  const std::vector<double> score = scores(query, passages);
  std::vector<int64_t> order(score.size());
  std::iota(order.begin(), order.end(), 0);
  std::erase_if(order, [&](int64_t p) { return score[static_cast<size_t>(p)] <= 0; });
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    const double sa = score[static_cast<size_t>(a)], sb = score[static_cast<size_t>(b)];
    return sa != sb ? sa > sb : a > b;
  });
  std::vector<PositionRange> found;
  found.reserve(order.size());
  for (const int64_t p : order) found.emplace_back(p * length_, (p + 1) * length_);
  return found;
}

int64_t Bm25::memory_bytes() const {
  const size_t term = sizeof(TokenId) + sizeof(std::vector<Posting>);
  return static_cast<int64_t>(terms_.size() * term + open_.size() * sizeof(TokenId)) +
         postings_ * static_cast<int64_t>(sizeof(Posting));
}

}  // namespace steno
