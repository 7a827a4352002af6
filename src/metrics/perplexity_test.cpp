#include "metrics/perplexity.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace steno {
namespace {

TEST(Perplexity, TwoDialoguesByHand) {
  // One token of probability 1/2, and three of 1/8.
  const std::vector<NllSum> items = {{std::log(2.0), 1, 4}, {3 * std::log(8.0), 3, 6}};
  EXPECT_NEAR(micro_perplexity(items), std::pow(2.0, 10.0 / 4), 1e-12);  // 10 bits over 4 tokens
  EXPECT_NEAR(macro_perplexity(items), 4, 1e-12);                        // 1 and 3 bits a token: 2 bits
  EXPECT_NEAR(bits_per_character(items), 1, 1e-12);                      // 10 bits over 10 characters
  EXPECT_EQ(total_nll(items).tokens, 4);
}

TEST(Perplexity, IsTheVocabularySizeForAUniformModel) {
  const std::vector<NllSum> items(7, {12 * std::log(100.0), 12, 50});
  EXPECT_NEAR(micro_perplexity(items), 100, 1e-9);
  EXPECT_NEAR(macro_perplexity(items), 100, 1e-9);
}

TEST(Perplexity, OfNothingIsNoNumber) {
  const std::vector<NllSum> nothing = {{0, 0, 0}}, some = {{0, 0, 0}, {std::log(3.0), 1, 1}};
  EXPECT_TRUE(std::isnan(micro_perplexity({})));
  EXPECT_TRUE(std::isnan(macro_perplexity(nothing)));
  EXPECT_TRUE(std::isnan(bits_per_character(nothing)));
  EXPECT_NEAR(macro_perplexity(some), 3, 1e-12) << "an item without scored tokens has no mean";
  EXPECT_EQ(count_unscored(some), 1);
}

}  // namespace
}  // namespace steno
