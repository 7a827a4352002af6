#include "memory/bm25.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace steno {

void Bm25Index::add_passage(std::span<const TokenId> tokens) {
  std::vector<TokenId> sorted(tokens.begin(), tokens.end());
  std::sort(sorted.begin(), sorted.end());
  for (size_t at = 0; at < sorted.size();) {
    size_t end = at;
    while (end < sorted.size() && sorted[end] == sorted[at]) ++end;
    terms_[sorted[at]].push_back({static_cast<int32_t>(passages_), static_cast<int32_t>(end - at)});
    ++postings_;
    at = end;
  }
  ++passages_;
}

std::vector<double> Bm25Index::scores(std::span<const TokenId> query, int64_t passages) const {
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

int64_t Bm25Index::memory_bytes() const {
  const size_t term = sizeof(TokenId) + sizeof(std::vector<Posting>);
  return static_cast<int64_t>(terms_.size() * term) + postings_ * static_cast<int64_t>(sizeof(Posting));
}

}  // namespace steno
