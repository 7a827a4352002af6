#include "cli/text.h"

#include <gtest/gtest.h>

namespace steno {
namespace {

TEST(Text, CountsHaveThousandsSeparators) {
  EXPECT_EQ(count_text(0), "0");
  EXPECT_EQ(count_text(999), "999");
  EXPECT_EQ(count_text(1000), "1,000");
  EXPECT_EQ(count_text(1234567), "1,234,567");
  EXPECT_EQ(count_text(-1234), "-1,234");
  EXPECT_EQ(count_text(-123), "-123");
}

TEST(Text, BytesKeepTwoToThreeDigits) {
  EXPECT_EQ(bytes_text(999), "999 bytes");
  EXPECT_EQ(bytes_text(1000), "1.0 kB");
  EXPECT_EQ(bytes_text(99499), "99.5 kB");
  EXPECT_EQ(bytes_text(99600), "100 kB");
  EXPECT_EQ(bytes_text(999600), "1.0 MB");
  EXPECT_EQ(bytes_text(5898240), "5.9 MB");
}

TEST(Text, SecondsGrowCoarserAsTheyGrow) {
  EXPECT_EQ(seconds_text(0.314), "0.31 s");
  EXPECT_EQ(seconds_text(9.96), "10 s");
  EXPECT_EQ(seconds_text(59.6), "1 min 0 s");
  EXPECT_EQ(seconds_text(7510), "2 h 5 min");
}

TEST(Text, NearestFindsAMisspellingAndNothingFarAway) {
  const std::vector<std::string> verbs = {"generate", "ask", "tokenize", "inspect", "methods"};
  EXPECT_EQ(nearest("tokenise", verbs), "tokenize");
  EXPECT_EQ(nearest("aks", verbs), "ask");
  EXPECT_EQ(nearest("method", verbs), "methods");
  EXPECT_EQ(nearest("frobnicate", verbs), "");
  EXPECT_EQ(nearest("x", {}), "");
}

}  // namespace
}  // namespace steno
