#include "metrics/repetition.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>
#include <set>

#include "metrics/python_text.h"

namespace steno {
namespace {

double distinct(const std::vector<Tokens>& texts, size_t n) { return distinct_ngrams<std::string>(texts, n).share(); }

TEST(Distinct, PublishedVector) {
  const std::vector<Tokens> texts = {split_spaces("i am am here"), split_spaces("i am there")};
  EXPECT_NEAR(distinct(texts, 1), 4.0 / 7, 1e-12);
  EXPECT_NEAR(distinct(texts, 2), 4.0 / 5, 1e-12);
  EXPECT_EQ(distinct(texts, 3), 1);
}

TEST(Distinct, NothingIsNotDistinct) {
  EXPECT_EQ(distinct({}, 1), 0);
  EXPECT_EQ(distinct({{}, {"one"}}, 2), 0) << "no n-gram crosses from one text to the next";
  EXPECT_EQ(distinct({{"one"}, {"one"}}, 1), 0.5);
}

TEST(Distinct, CountsWhatASetOfCopiesCounts) {
  EXPECT_TRUE(rc::check("token ids", [](const std::vector<std::vector<uint8_t>>& texts) {
    const size_t n = *rc::gen::inRange<size_t>(1, 4);
    std::set<std::vector<uint8_t>> seen;
    int64_t total = 0;
    for (const auto& text : texts)
      for (size_t i = 0; i + n <= text.size(); ++i, ++total) seen.emplace(text.begin() + i, text.begin() + i + n);
    const DistinctScore score = distinct_ngrams<uint8_t>(texts, n);
    RC_ASSERT(score.total == total);
    RC_ASSERT(score.distinct == static_cast<int64_t>(seen.size()));
  }));
}

TEST(Repetition, IsTheShareSeenBefore) {
  EXPECT_EQ(repetition_rate(std::vector<int>{1, 2, 3, 4, 5, 6}), 0);
  EXPECT_EQ(repetition_rate(std::vector<int>{1, 2, 3}), 0);
  EXPECT_EQ(repetition_rate(std::vector<int>{}), 0);
  EXPECT_EQ(repetition_rate(std::vector<int>{7, 7, 7, 7, 7, 7}), 1 - 1.0 / 3);
  EXPECT_EQ(repetition_rate(split_spaces("a b a b a b a"), 2), 1 - 2.0 / 6);
}

TEST(Repetition, ShapesOfResponses) {
  ResponseShape shape;
  EXPECT_TRUE(std::isnan(shape.mean_tokens()));
  shape.add(std::vector<int>{7, 7, 7, 7, 7}, false);
  shape.add(std::vector<int>{}, true);
  shape.add(std::vector<int>{1}, true);
  EXPECT_EQ(shape.mean_tokens(), 2);
  EXPECT_NEAR(shape.end_share(), 2.0 / 3, 1e-12);
  EXPECT_NEAR(shape.mean_repetition(), 0.5 / 3, 1e-12);
}

}  // namespace
}  // namespace steno
