#include "methods/retrieval/bm25.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/random.h"

namespace steno {
namespace {

// Straight from the formula, over the first `passages` passages of `text`.
double score_slowly(const std::vector<TokenId>& text, int64_t length, int64_t passages, double k1,
                    const std::vector<TokenId>& query, int64_t passage) {
  const auto count = [&](int64_t p, TokenId token) {
    const auto begin = text.begin() + p * length;
    return static_cast<double>(std::count(begin, begin + length, token));
  };
  double score = 0;
  for (const TokenId token : query) {
    double df = 0;
    for (int64_t p = 0; p < passages; ++p) df += count(p, token) > 0;
    const double tf = count(passage, token);
    score += std::log(1 + (static_cast<double>(passages) - df + 0.5) / (df + 0.5)) * tf * (k1 + 1) / (tf + k1);
  }
  return score;
}

TEST(Bm25, EqualsTheFormula) {
  Random random(1);
  for (const double k1 : {0.5, 1.2, 2.0}) {
    for (const int64_t length : {1, 5, 16}) {
      std::vector<TokenId> text(203), query(9);
      // Small numbers are frequent, as words are.
      for (auto* ids : {&text, &query})
        for (TokenId& id : *ids) id = static_cast<TokenId>(random.uniform() * random.uniform() * 40);
      Bm25 index(length, k1);
      for (size_t at = 0; at < text.size(); at += 7)
        index.append(std::span(text).subspan(at, std::min<size_t>(7, text.size() - at)));
      for (const int64_t passages : {int64_t{1}, 100 / length, 203 / length}) {
        const auto scores = index.scores(query, passages);
        std::vector<std::pair<double, int64_t>> expected;
        for (int64_t p = 0; p < passages; ++p) {
          const double slow = score_slowly(text, length, passages, k1, query, p);
          EXPECT_NEAR(scores[static_cast<size_t>(p)], slow, 1e-12);
          if (slow > 0) expected.emplace_back(scores[static_cast<size_t>(p)], p);
        }
        std::sort(expected.rbegin(), expected.rend());  // best first; of equals the later one
        const auto found = index.find(query, passages * length + length - 1);
        ASSERT_EQ(found.size(), expected.size());
        for (size_t i = 0; i < found.size(); ++i)
          EXPECT_EQ(found[i], std::pair(expected[i].second * length, (expected[i].second + 1) * length));
      }
    }
  }
}

TEST(Bm25, RareTokensDecide) {
  Bm25 index(4, 1.2);
  const std::vector<TokenId> text = {1, 1, 1, 2, 1, 9, 1, 2, 1, 1, 2, 2, 1, 1, 1, 1};
  index.append(text);
  const std::vector<TokenId> query = {1, 1, 2, 9};
  EXPECT_EQ(index.find(query, 16).front(), std::pair(int64_t{4}, int64_t{8}));
  // Passages that are not complete before a position do not exist for it, nor do their counts.
  for (const auto& [first, end] : index.find(query, 7)) EXPECT_EQ(first, 0);
  EXPECT_TRUE(index.find(query, 3).empty());
  EXPECT_TRUE(index.find(std::vector<TokenId>{77}, 16).empty());
}

TEST(Bm25, ForksAreIndependentAndClearForgets) {
  Bm25 index(2, 1.2);
  const std::vector<TokenId> text = {5, 6, 7};
  index.append(text);
  const auto fork = index.fork();
  fork->append(text);
  const std::vector<TokenId> query = {7};
  EXPECT_EQ(fork->find(query, 6).size(), 2u);  // 5 6, 7 5, 6 7
  EXPECT_TRUE(index.find(query, 6).empty());
  EXPECT_GT(fork->memory_bytes(), index.memory_bytes());
  fork->clear();
  EXPECT_EQ(fork->memory_bytes(), 0);
  EXPECT_TRUE(fork->find(query, 6).empty());
}

}  // namespace
}  // namespace steno
