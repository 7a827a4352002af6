#include "metrics/python_text.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "base/utf8.h"
#include "metrics/golden_test_util.h"
#include "metrics/tokenise.h"

namespace steno {
namespace {

TEST(PythonText, LowersAsPythonDoes) {
  EXPECT_EQ(to_lower("HELLO \u00C9\u0416"), "hello \u00E9\u0436");
  EXPECT_EQ(to_lower("\u0130"), "i\u0307");
  EXPECT_EQ(to_lower("\u212A"), "k");
  EXPECT_EQ(to_lower("\u1E9E"), "\u00DF");
  // The two lower-case sigmas: at the end of a word, inside, alone, before an apostrophe, after one.
  EXPECT_EQ(to_lower("ΟΔΟΣ ΣΟΣ Σ"), "οδος σος σ");
  EXPECT_EQ(to_lower("ΑΣ'"), "ας'");
  EXPECT_EQ(to_lower("ΑΣ'Α"), "ασ'α");
  EXPECT_EQ(to_lower("Α'Σ"), "α'ς");
  EXPECT_EQ(to_lower("ΑΣΣ"), "ασς");
}

TEST(PythonText, SplitsAtPythonsSpaces) {
  EXPECT_EQ(split_spaces(" a\tb\u00A0c\u2003d\x1C"
                         "e\u3000\n"),
            (Tokens{"a", "b", "c", "d", "e"}));
  EXPECT_EQ(split_spaces("a\u200Bb"), (Tokens{"a\u200Bb"})) << "a zero-width space is no space";
  EXPECT_TRUE(split_spaces(" \u2028").empty());
  EXPECT_EQ(strip("\u2003 a b \n"), "a b");
  EXPECT_EQ(strip_end(" a \n"), " a");
  EXPECT_EQ(strip(" "), "");
}

TEST(PythonText, GoldenOfPythonAndSacreBleu) {
  const nlohmann::json characters = read_golden("text.json", "characters");
  EXPECT_EQ(to_lower(characters.at("upper").get<std::string>()), characters.at("lower").get<std::string>());
  const std::string spaces = characters.at("spaces");
  for (const char32_t c : to_characters(spaces)) EXPECT_TRUE(is_python_space(c)) << static_cast<uint32_t>(c);
  EXPECT_EQ(to_characters(spaces).size(), 29u);
  for (char32_t c = 1; c < 0x3100; ++c)
    EXPECT_EQ(is_python_space(c), to_characters(spaces).find(c) != std::u32string::npos) << static_cast<uint32_t>(c);
  for (const auto& row : read_golden("text.json", "texts")) {
    const std::string text = row.at(0);
    EXPECT_EQ(to_lower(text), row.at(1).get<std::string>());
    EXPECT_EQ(split_spaces(text), row.at(2).get<Tokens>());
    EXPECT_EQ(strip(text), row.at(3).get<std::string>());
    EXPECT_EQ(tokenise_13a(text), row.at(4).get<Tokens>()) << text;
  }
}

TEST(PythonText, BytesThatAreNoTextBecomeReplacements) {
  EXPECT_EQ(to_valid_utf8("a\xE2\x82"), "a\uFFFD\uFFFD");
  EXPECT_EQ(to_lower("\xFF"
                     "A"),
            "\uFFFDa");
  EXPECT_TRUE(rc::check("always valid, and unchanged when it was", [](const std::string& bytes) {
    const std::string valid = to_valid_utf8(bytes);
    RC_ASSERT(find_invalid_utf8(valid) == std::string_view::npos);
    RC_ASSERT(to_valid_utf8(valid) == valid);
    if (find_invalid_utf8(bytes) == std::string_view::npos) RC_ASSERT(valid == bytes);
    RC_ASSERT(find_invalid_utf8(to_lower(bytes)) == std::string_view::npos);
  }));
}

}  // namespace
}  // namespace steno
