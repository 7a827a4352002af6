#include "report/result.h"

#include <gmock/gmock.h>

#include <fstream>

#include "base/error.h"
#include "report/report_test_util.h"

namespace steno::report {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string refusal(const std::filesystem::path& folder) {
  try {
    read_run(folder);
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

class ResultTest : public testing::Test {
 protected:
  void SetUp() override { write_sample(folder_); }
  void change_run(const std::function<void(Json&)>& change) {
    Json json = sample_run();
    change(json);
    folder_.file("run.json", json.dump());
  }
  test::TemporaryFolder folder_;
};

TEST_F(ResultTest, ReadsWhatWasWritten) {
  const report::Run run = read_run(folder_.path());
  EXPECT_TRUE(run.finished);
  EXPECT_EQ(run.headline, "correct");
  ASSERT_EQ(run.arms.size(), 3u);
  EXPECT_EQ(run.arms[0].series(), "window");
  EXPECT_EQ(run.arms[2].control, "full-context");
  EXPECT_EQ(run.arms[0].n, 4);
  EXPECT_EQ(run.arms[0].cells.size(), 4u);
  EXPECT_EQ(run.arms[1].seconds, 2.0);
  EXPECT_EQ(run.arms[0].read_tokens_per_s, 2345.678);
  EXPECT_EQ(run.items.size(), 12u);
  EXPECT_TRUE(run.notes.empty());
}

TEST_F(ResultTest, AnUnfinishedRunIsEstimatedAndSaysSo) {
  write_sample(folder_, false);
  const report::Run run = read_run(folder_.path());
  EXPECT_FALSE(run.finished);
  ASSERT_EQ(run.notes.size(), 1u);
  EXPECT_THAT(run.notes[0], AllOf(HasSubstr("not finished"), HasSubstr("12 items")));
  EXPECT_EQ(run.arms[0].n, 4);
  EXPECT_EQ(run.arms[0].metrics.at("correct").mean, 0.75);
  EXPECT_FALSE(run.arms[0].metrics.at("correct").low) << "no interval is made up";
}

TEST_F(ResultTest, SkippedItemsAreCountedAndNotScored) {
  write_sample(folder_, false);
  Json skipped = {{"arm", "window-256"}, {"item", "other"}, {"skipped", "too long"}};
  std::ofstream(folder_.path() / "items.jsonl", std::ios::app) << skipped.dump() << "\n";
  const report::Run run = read_run(folder_.path());
  EXPECT_EQ(run.arms[0].n, 4);
  EXPECT_EQ(run.arms[0].skipped, 1);
  EXPECT_EQ(run.items.back().skipped, "too long");
}

TEST_F(ResultTest, ASummaryThatCountsOtherwiseIsNoted) {
  std::ofstream(folder_.path() / "items.jsonl", std::ios::app) << sample_item("window-256", 4096, 0, 1).dump() << "\n";
  const report::Run run = read_run(folder_.path());
  ASSERT_EQ(run.notes.size(), 1u);
  EXPECT_THAT(run.notes[0], AllOf(HasSubstr("window-256"), HasSubstr("4"), HasSubstr("5")));
}

TEST_F(ResultTest, BadFoldersAreRefused) {
  EXPECT_THAT(refusal(folder_.path() / "absent"), HasSubstr("no such folder"));
  const test::TemporaryFolder empty;
  EXPECT_THAT(refusal(empty.path()), HasSubstr("not a result folder"));
  change_run([](Json& json) { json["format_version"] = 2; });
  EXPECT_THAT(refusal(folder_.path()), AllOf(HasSubstr("run.json"), HasSubstr("format version 2")));
  change_run([](Json& json) { json["format"] = "other"; });
  EXPECT_THAT(refusal(folder_.path()), HasSubstr("steno.eval"));
  change_run([](Json& json) { json["arms"] = 5; });
  EXPECT_THAT(refusal(folder_.path()), HasSubstr("'arms' must be a list"));
  change_run([](Json& json) { json["arms"][1]["id"] = "window-256"; });
  EXPECT_THAT(refusal(folder_.path()), HasSubstr("stands twice"));
  change_run([](Json& json) { json["arms"][0]["id"] = "h2o-256"; });
  EXPECT_THAT(refusal(folder_.path()), AllOf(HasSubstr("summary.json"), HasSubstr("window-256")));
}

TEST_F(ResultTest, BadLinesAreNamed) {
  const std::string good = sample_item("window-256", 1024, 0, 1).dump() + "\n";
  const auto with = [&](const std::string& line) {
    folder_.file("items.jsonl", good + line);
    return refusal(folder_.path());
  };
  EXPECT_THAT(with(good.substr(0, 40)), AllOf(HasSubstr("line 2"), HasSubstr("cut off")));
  EXPECT_THAT(with(good.substr(0, 40) + "\n"), AllOf(HasSubstr("line 2"), HasSubstr("not valid JSON")));
  EXPECT_THAT(with(good), AllOf(HasSubstr("line 2"), HasSubstr("stands twice")));
  EXPECT_THAT(with(R"({"arm":"nobody","item":"x"})"
                   "\n"),
              AllOf(HasSubstr("line 2"), HasSubstr("nobody")));
  EXPECT_THAT(with(R"({"arm":"window-256","item":"x","kept":[[5,2]]})"
                   "\n"),
              AllOf(HasSubstr("line 2"), HasSubstr("[5, 2]")));
  EXPECT_THAT(with(R"({"arm":"window-256","item":"x","scores":{"correct":"yes"}})"
                   "\n"),
              HasSubstr("must be a number"));
  for (const std::string& message : {with("\n"), with("[]\n")})
    EXPECT_THAT(message, AllOf(HasSubstr("line 2"), Not(HasSubstr("\n"))));
}

TEST(RangesTest, AreJoinedAndCompared) {
  EXPECT_EQ(normalise({{5, 9}, {0, 3}, {4, 4}, {20, 22}}), (std::vector<Range>{{0, 9}, {20, 22}}));
  EXPECT_DOUBLE_EQ(covered({{10, 19}}, {{0, 12}, {19, 30}}), 0.4);
  EXPECT_DOUBLE_EQ(covered({{10, 19}, {30, 39}}, {{10, 19}}), 0.5);
  EXPECT_DOUBLE_EQ(covered({{10, 19}}, {}), 0);
}

TEST(ArmTest, TheSeriesIsTheNameWithoutTheBudget) {
  Arm arm{.id = "h2o-512-query-aware", .budget = 512};
  EXPECT_EQ(arm.series(), "h2o-query-aware");
  arm.budget.reset();
  EXPECT_EQ(arm.series(), "h2o-512-query-aware");
}

}  // namespace
}  // namespace steno::report
