#include "report/text.h"

#include <gtest/gtest.h>

namespace steno::report {
namespace {

TEST(EscapeTest, LeavesNoMarkup) {
  EXPECT_EQ(escape("<a href='x'>\"&amp;\"</a>"), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;amp;&quot;&lt;/a&gt;");
  EXPECT_EQ(escape(std::string("a\x01\nb", 4)), "a\uFFFD\nb");
}

TEST(EscapeTest, JsonInAScriptCannotEndIt) {
  const nlohmann::json json = {{"text", "</script><!-- & \u2028\u2029 \"quoted\" ä"}};
  const std::string text = script_json(json);
  EXPECT_EQ(text.find_first_of("<>&"), std::string::npos);
  EXPECT_EQ(text.find("\u2028"), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(text), json);
}

TEST(EscapeTest, CsvFieldsAreQuotedWhereNeeded) {
  EXPECT_EQ(csv_field("plain"), "plain");
  EXPECT_EQ(csv_field("a,\"b\"\n"), "\"a,\"\"b\"\"\n\"");
}

TEST(EscapeTest, SlugsAreFileNames) {
  EXPECT_EQ(slug("../Passkey (h2o): 50 %/"), "passkey-h2o-50");
  EXPECT_EQ(slug("ä"), "x");
}

TEST(NumberTest, AsPeopleReadThem) {
  EXPECT_EQ(show_number(0.85), "0.850");
  EXPECT_EQ(show_number(1), "1");
  EXPECT_EQ(show_number(-1234567), "-1,234,567");
  EXPECT_EQ(show_number(2345.678), "2,346");
  EXPECT_EQ(show_number(999), "999");
  EXPECT_EQ(show_number(12.345), "12.35");
  EXPECT_EQ(show_number(0.00234), "0.002");
  EXPECT_EQ(show_number(0.00001), "1e-05");
  EXPECT_EQ(show_number({}), "–");
  EXPECT_EQ(show_tick(0.8), "0.8");
  EXPECT_EQ(show_tick(1000), "1,000");
  EXPECT_EQ(show_bytes(23592960), "22.5 MiB");
  EXPECT_EQ(show_bytes(1024), "1 KiB");
  EXPECT_EQ(show_seconds(0.0123), "12.3 ms");
  EXPECT_EQ(exact_number(0.1), "0.1");
  EXPECT_EQ(std::stod(exact_number(1.0 / 3)), 1.0 / 3);
}

}  // namespace
}  // namespace steno::report
