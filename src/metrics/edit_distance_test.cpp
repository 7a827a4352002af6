#include "metrics/edit_distance.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "metrics/golden_test_util.h"

namespace steno {
namespace {

TEST(EditDistance, GoldenOfNltk) {
  const auto pairs = golden_pairs();
  const nlohmann::json distances = read_golden("match.json", "distances");
  size_t compared = 0;
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (distances.at(i).is_null()) continue;
    const std::string &a = pairs[i].hypothesis, &b = pairs[i].references[0];
    const Tokens left = split_spaces(a), right = split_spaces(b);
    EXPECT_EQ(edit_distance<std::string>(left, right), distances.at(i).at(0).get<int64_t>()) << a << " / " << b;
    const std::u32string x = to_characters(a), y = to_characters(b);
    EXPECT_EQ(edit_distance<char32_t>(x, y), distances.at(i).at(1).get<int64_t>()) << a << " / " << b;
    ++compared;
  }
  EXPECT_GT(compared, 200u);
}

TEST(EditDistance, IsDividedByTheLongerText) {
  EXPECT_EQ(character_edit_distance("kitten", "sitting"), 3.0 / 7);
  EXPECT_EQ(character_edit_distance("", ""), 0);
  EXPECT_EQ(character_edit_distance("", "ab"), 1);
  EXPECT_EQ(character_edit_distance("\u00E9", "e"), 1) << "one character, not two bytes";
  EXPECT_EQ(normalised_edit_distance(std::vector<int>{1, 2, 3, 4}, {1, 3, 4}), 0.25);
}

TEST(EditDistance, IsAMetric) {
  EXPECT_TRUE(rc::check("symmetric, 0 for equals, triangle, bounds", [] {
    const auto text = rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 3));
    const std::vector<int> a = *text, b = *text, c = *text;
    const auto distance = [](const auto& x, const auto& y) { return edit_distance<int>(x, y); };
    RC_ASSERT(distance(a, b) == distance(b, a));
    RC_ASSERT(distance(a, a) == 0);
    RC_ASSERT(distance(a, c) <= distance(a, b) + distance(b, c));
    RC_ASSERT(distance(a, b) >= std::abs(static_cast<int64_t>(a.size()) - static_cast<int64_t>(b.size())));
    RC_ASSERT(normalised_edit_distance(a, b) <= 1);
  }));
}

TEST(TokenAccuracy, IsPerTargetToken) {
  EXPECT_EQ(token_accuracy(std::vector<int>{1, 9, 3, 4}, {1, 2, 3, 4}), 0.75);
  EXPECT_EQ(token_accuracy(std::vector<int>{1}, {1, 2, 3, 4}), 0.25) << "missing positions are wrong";
  EXPECT_EQ(token_accuracy(std::vector<int>{1, 2, 3, 4}, {1}), 1);
  EXPECT_EQ(token_accuracy(std::vector<int>{}, {1}), 0);
  EXPECT_EQ(token_accuracy(std::vector<int>{1}, {}), 0);
}

}  // namespace
}  // namespace steno
