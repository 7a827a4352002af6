#include "base/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace steno {
namespace {

TEST(Utf8, FindsTheFirstInvalidByte) {
  EXPECT_EQ(find_invalid_utf8(""), std::string_view::npos);
  EXPECT_EQ(find_invalid_utf8("ab\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80"), std::string_view::npos);
  EXPECT_EQ(find_invalid_utf8("ab\x80"), 2u);
  EXPECT_EQ(find_invalid_utf8("\xC0\x80"), 0u) << "overlong";
  EXPECT_EQ(find_invalid_utf8("a\xED\xA0\x80"), 1u) << "surrogate";
  EXPECT_EQ(find_invalid_utf8("a\xF4\x90\x80\x80"), 1u) << "above U+10FFFF";
  EXPECT_EQ(find_invalid_utf8("abc\xE2\x82"), 3u) << "cut at the end";
}

TEST(Utf8, EveryCutOfACharacterIsHeldBack) {
  const std::string text = "x\xF0\x9F\x98\x80";
  for (size_t cut = 2; cut < text.size(); ++cut)
    EXPECT_EQ(complete_utf8_prefix(std::string_view(text).substr(0, cut)), 1u) << cut;
  EXPECT_EQ(complete_utf8_prefix(text), text.size());
  EXPECT_EQ(complete_utf8_prefix("abc\xFF"), 4u) << "a byte that never becomes valid is not held back";
  EXPECT_EQ(complete_utf8_prefix("\x80\x80\x80\x80"), 4u);
}

}  // namespace
}  // namespace steno
