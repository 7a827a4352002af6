#include "eval/prompts/filler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/utf8.h"
#include "eval/prompts/prompts_test_util.h"

namespace steno {
namespace {

using testing::ElementsAre;

TEST(SentenceStarts, BehindEndMarksClosingMarksAndSpace) {
  EXPECT_THAT(sentence_starts("A b. C d! \"E?\" F."), ElementsAre(0, 5, 10, 15));
  EXPECT_THAT(sentence_starts("It cost 3.50 in all"), ElementsAre(0));
  EXPECT_THAT(sentence_starts("One.\n\nTwo."), ElementsAre(0, 6));
}

TEST(Filler, RepeatsAndCutsAtCharacters) {
  const Filler filler("f", "aé", " ");
  EXPECT_EQ(filler.take(0), "");
  EXPECT_EQ(filler.take(2), "a");  // é takes two bytes
  EXPECT_EQ(filler.take(3), "aé");
  EXPECT_EQ(filler.take(9), "aé aé a");
  EXPECT_EQ(filler.take(4, 3), " aé");
  EXPECT_EQ(Filler::repeated().take(180).substr(0, 113),
            "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. The grass is "
            "green. The");
}

TEST(Filler, NaturalTextFlows) {
  const Filler filler = Filler::natural("n", {" One  two.\nThree.\n \nFour.\n", " \n", "Five."});
  EXPECT_EQ(filler.take(31), "One two. Three.\n\nFour.\n\nFive.\n\n");
  EXPECT_THROW(Filler::natural("n", {" ", "\n"}), InputError);
}

TEST(Filler, StartsAtSentences) {
  Random random(3);
  std::set<size_t> seen;
  for (int i = 0; i < 200; ++i) {
    const size_t start = test::prose().random_start(random);
    seen.insert(start);
    const std::string text = test::prose().take(2, start);
    EXPECT_TRUE((text[0] >= 'A' && text[0] <= 'Z') || text[0] == '"') << text;
  }
  EXPECT_GT(seen.size(), 8u);
  EXPECT_EQ(Filler::repeated().random_start(random), 0u);
}

TEST(Weave, JoinsPartsAndTellsPlaces) {
  const Woven woven = weave("One. Two. Three.", {{10, "B"}, {5, "A"}, {5, "a"}}, "\n", true);
  EXPECT_EQ(woven.text, "One.\nA\na\nTwo.\nB\nThree.");
  ASSERT_EQ(woven.places.size(), 3u);
  const auto at = [&](size_t i) {
    return woven.text.substr(woven.places[i].first, woven.places[i].second - woven.places[i].first);
  };
  EXPECT_EQ(at(0), "B");
  EXPECT_EQ(at(1), "A");
  EXPECT_EQ(at(2), "a");
}

TEST(Weave, EndsAndEmptyParts) {
  EXPECT_EQ(weave("One. Two.", {{0, "A"}}, "\n", true).text, "\nA\nOne. Two.");
  EXPECT_EQ(weave("One. Two.", {{0, "A"}}, " ", false).text, "A One. Two.");
  EXPECT_EQ(weave("One. Two.", {{9, "A"}}, "\n", true).text, "One. Two.\nA\n");
  EXPECT_EQ(weave("One. Two.", {{99, "A"}}, " ", false).text, "One. Two. A");
  EXPECT_EQ(weave("", {{0, "A"}}, " ", false).text, "A");
}

}  // namespace
}  // namespace steno
