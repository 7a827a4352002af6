#include "metrics/string_match.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace steno {
namespace {

using Strings = std::vector<std::string>;

TEST(StringMatch, AllIsAShareAndPartIsAny) {
  const Strings wanted = {"7213", "Apple", "pear"};
  EXPECT_NEAR(string_match_all("the APPLE of 72135", wanted), 2.0 / 3, 1e-12);
  EXPECT_EQ(string_match_part("the APPLE", wanted), 1);
  EXPECT_EQ(string_match_part("the plum", wanted), 0);
  EXPECT_EQ(string_match_all("", wanted), 0);
  EXPECT_EQ(string_match_all("pear apple 7213", wanted), 1);
  EXPECT_EQ(string_match_all("text", Strings{}), 0);
  EXPECT_EQ(string_match_all("apple pear plum 7213 9999", wanted), 1) << "listing everything is rewarded, as in RULER";
}

TEST(StringMatch, CleansControlCharactersFirst) {
  EXPECT_EQ(clean_ruler_output(" \x01 a\tb\x1F"), "a\nb");
  EXPECT_EQ(string_match_all("a\tb", Strings{"a\tb"}), 0) << "the tab became a newline";
  EXPECT_EQ(string_match_all("a\tb", Strings{"a\nb"}), 1);
  EXPECT_EQ(clean_ruler_output("\x7F \u00E9"), "\x7F \u00E9");
}

TEST(StringMatch, KeywordsAreWholeWords) {
  const Strings needle = {"sandwich", "Dolores Park"};
  EXPECT_EQ(keyword_recall("Eat a SANDWICH in dolores park.", needle), 1);
  EXPECT_EQ(keyword_recall("Sandwiches in Dolores Park", needle), 0.5);
  EXPECT_EQ(keyword_recall("that was great", Strings{"eat"}), 0);
  EXPECT_EQ(keyword_recall("great eat", Strings{"eat"}), 1) << "a later occurrence counts";
  EXPECT_EQ(keyword_recall("", needle), 0);
  EXPECT_EQ(keyword_recall("anything", Strings{}), 0);
  EXPECT_EQ(keyword_recall("anything", Strings{""}), 0);
}

TEST(StringMatch, DigitRecallCountsRunsOnce) {
  EXPECT_EQ(digit_recall("7 and 7 and 1850", "in 1850: 7"), 1);
  EXPECT_NEAR(digit_recall("7", "7, 7 and 1850"), 1.0 / 3, 1e-12);
  EXPECT_EQ(digit_recall("18", "1850"), 0);
  EXPECT_EQ(digit_recall("", "1850"), 0);
  EXPECT_TRUE(std::isnan(digit_recall("1850", "no number")));
}

TEST(StringMatch, NameRecallLeavesOutWhatMerelyBeginsASentence) {
  EXPECT_EQ(name_recall("Paris, and Zoë", "We met Zoë in Paris. Then it rained."), 1);
  EXPECT_EQ(name_recall("then (Paris)", "We met Zoë in \"Paris.\" Then it rained."), 0.5);
  EXPECT_EQ(name_recall("paris zoë", "We met Zoë in Paris."), 0) << "case counts";
  EXPECT_NEAR(name_recall("Paris", "from Paris to Paris to Rome"), 1.0 / 3, 1e-12);
  EXPECT_EQ(name_recall("", "in Paris"), 0);
  EXPECT_TRUE(std::isnan(name_recall("Paris", "Nothing here. Or here!")));
}

}  // namespace
}  // namespace steno
