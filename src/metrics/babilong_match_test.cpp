#include "metrics/babilong_match.h"

#include <gtest/gtest.h>

#include <vector>

namespace steno {
namespace {

const std::vector<std::string> kPlaces = {"bathroom", "bedroom", "garden", "hallway", "kitchen", "office"};
const std::vector<std::string> kThings = {"nothing", "milk", "apple", "football"};
const std::string kQuestion = "Where is Mary?";

TEST(Babilong, TheTargetAloneIsRight) {
  EXPECT_TRUE(matches_babilong("Mary is in the Kitchen", kQuestion, "kitchen", kPlaces));
  EXPECT_FALSE(matches_babilong("kitchen or garden", kQuestion, "kitchen", kPlaces)) << "an extra label";
  EXPECT_FALSE(matches_babilong("garden", kQuestion, "kitchen", kPlaces));
  EXPECT_FALSE(matches_babilong("", kQuestion, "kitchen", kPlaces));
  EXPECT_FALSE(matches_babilong("bathroom bedroom garden hallway kitchen office", kQuestion, "kitchen", kPlaces));
}

TEST(Babilong, OnlyTheFirstSentenceCounts) {
  EXPECT_TRUE(matches_babilong("kitchen. Then the garden", kQuestion, "kitchen", kPlaces));
  EXPECT_TRUE(matches_babilong("kitchen <EXAMPLE> garden", kQuestion, "kitchen", kPlaces));
  EXPECT_TRUE(matches_babilong("kitchen <context> garden", kQuestion, "kitchen", kPlaces));
  EXPECT_FALSE(matches_babilong("I think. kitchen", kQuestion, "kitchen", kPlaces));
}

TEST(Babilong, LabelsOfTheQuestionDoNotCount) {
  EXPECT_TRUE(
      matches_babilong("the office is north of the kitchen", "What is north of the kitchen?", "office", kPlaces));
  EXPECT_FALSE(matches_babilong("the kitchen", "What is north of the Kitchen?", "kitchen", kPlaces));
}

TEST(Babilong, ListsAreWantedWhole) {
  EXPECT_TRUE(matches_babilong("apple and milk", "What is John carrying?", "milk,apple", kThings));
  EXPECT_FALSE(matches_babilong("milk", "What is John carrying?", "milk,apple", kThings));
  EXPECT_FALSE(matches_babilong("milk, apple, football", "What is John carrying?", "milk,apple", kThings));
  EXPECT_TRUE(matches_babilong("go s,e", "How?", "s,e", std::vector<std::string>{"s,e", "n,w"}));
}

}  // namespace
}  // namespace steno
