#include "cli/output.h"

#include <gtest/gtest.h>

namespace steno {
namespace {

template <class Write>
std::string written(Write&& write) {
  StandardOutput out;
  testing::internal::CaptureStdout();
  write(out);
  return testing::internal::GetCapturedStdout();
}

TEST(StandardOutput, TextHoldsWholeCharactersOnly) {
  const auto text = [](std::string_view bytes) { return written([&](StandardOutput& out) { out.write_text(bytes); }); };
  EXPECT_EQ(text("caf\u00E9 \u20AC"), "caf\u00E9 \u20AC");
  EXPECT_EQ(text("cut \xE2\x82"), "cut \uFFFD\uFFFD");
  EXPECT_EQ(text("\x82 tail"), "\uFFFD tail");
  EXPECT_EQ(text("a\xFFz"), "a\uFFFDz");
}

TEST(StandardOutput, OtherBytesAreLeftAlone) {
  EXPECT_EQ(written([](StandardOutput& out) { out.write("\xE2\x82"); }), "\xE2\x82");
  EXPECT_EQ(written([](StandardOutput& out) { out.write_json({{"a", "\xE2\x82"}}); }), "{\"a\":\"\uFFFD\"}\n");
}

TEST(StandardOutput, KnowsWhetherItWasUsed) {
  StandardOutput out;
  testing::internal::CaptureStdout();
  out.write_text("");
  EXPECT_FALSE(out.used());
  out.write_text("a");
  EXPECT_TRUE(out.used());
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "a");
}

}  // namespace
}  // namespace steno
