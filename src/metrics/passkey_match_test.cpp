#include "metrics/passkey_match.h"

#include <gtest/gtest.h>

namespace steno {
namespace {

TEST(Passkey, OnlyTheFirstWholeRunCounts) {
  EXPECT_EQ(first_digit_run("key 123, then 456"), "123");
  EXPECT_EQ(first_digit_run("none"), "");
  EXPECT_TRUE(matches_passkey(" 48213.", "48213"));
  EXPECT_TRUE(matches_passkey("48213", "48213"));
  EXPECT_FALSE(matches_passkey("482131", "48213")) << "the run is longer";
  EXPECT_FALSE(matches_passkey("48,213", "48213"));
  EXPECT_FALSE(matches_passkey("1 or 48213", "48213")) << "not the first";
  EXPECT_FALSE(matches_passkey("07", "7"));
  EXPECT_FALSE(matches_passkey("", "7"));
  EXPECT_FALSE(matches_passkey("", "")) << "an empty key is never found";
}

}  // namespace
}  // namespace steno
