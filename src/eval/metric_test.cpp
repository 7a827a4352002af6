#include "eval/metric.h"

#include <gtest/gtest.h>

#include <cmath>

#include "eval/eval_test_util.h"

namespace steno {
namespace {

Json line(const std::string& item, double score, const std::string& cluster = "") {
  Json json = {{"item", item}, {"scores", {{"s", score}}}};
  if (!cluster.empty()) json["cluster"] = cluster;
  return json;
}

Lines pointers(const std::vector<Json>& lines) {
  Lines result;
  for (const Json& l : lines) result.push_back(&l);
  return result;
}

TEST(Metric, WilsonForRightAndWrongElseBootstrap) {
  // Section 0 of the protocol: 45/50 -> [0.79, 0.96].
  std::vector<double> values(50, 1.0);
  for (size_t i = 0; i < 5; ++i) values[i * 7] = 0;
  const Metric accuracy = mean_metric(values);
  EXPECT_EQ(accuracy.interval, IntervalKind::wilson);
  EXPECT_NEAR(accuracy.low, 0.79, 0.005);
  EXPECT_NEAR(accuracy.high, 0.96, 0.005);
  values[0] = 0.5;
  const Metric share = mean_metric(values);
  EXPECT_EQ(share.interval, IntervalKind::bootstrap);
  EXPECT_DOUBLE_EQ(share.mean, 45.5 / 50);
  EXPECT_LT(share.low, share.mean);
  EXPECT_GT(share.high, share.mean);
}

TEST(Metric, OneGroupHasNoBootstrapInterval) {
  EXPECT_EQ(mean_metric({0.4}).interval, IntervalKind::none);
  EXPECT_EQ(mean_metric({0.4, 0.6}, std::vector<size_t>{7, 7}).interval, IntervalKind::none);
  EXPECT_EQ(mean_metric({0.4, 0.6}, std::vector<size_t>{7, 8}).interval, IntervalKind::bootstrap);
  EXPECT_EQ(mean_metric({1.0}).interval, IntervalKind::wilson);
  const Metric corpus = corpus_metric(1, [](std::span<const size_t>) { return 3.0; });
  EXPECT_EQ(corpus.interval, IntervalKind::none);
  EXPECT_EQ(corpus.low, 3.0);
}

TEST(Metric, ItemsOfOneClusterAreDrawnTogether) {
  // Ten clusters of eight equal items know as much as ten items, and a bootstrap over eighty would not say so.
  std::vector<Json> apart, together;
  for (int cluster = 0; cluster < 10; ++cluster)
    for (int i = 0; i < 8; ++i) {
      const std::string id = fmt::format("{}/{}", cluster, i);
      apart.push_back(line(id, cluster % 2 == 0));
      together.push_back(line(id, cluster % 2 == 0, std::to_string(cluster)));
    }
  const Metric a = score_metrics(pointers(apart)).at("s"), b = score_metrics(pointers(together)).at("s");
  EXPECT_EQ(a.interval, IntervalKind::wilson);
  EXPECT_EQ(b.interval, IntervalKind::bootstrap);
  EXPECT_DOUBLE_EQ(a.mean, b.mean);
  EXPECT_EQ(b.n, 80);
  EXPECT_GT(b.high - b.low, 2 * (a.high - a.low));
}

TEST(Metric, ScoresThatAreNotDefinedAreNotCounted) {
  std::vector<Json> lines = {line("a", 1), line("b", 0.25), line("c", 0)};
  lines[2]["scores"]["s"] = Json();
  lines[2]["scores"]["other"] = 3.5;
  const Metrics metrics = score_metrics(pointers(lines), {"other"});
  EXPECT_EQ(metrics.at("s").n, 2);
  EXPECT_DOUBLE_EQ(metrics.at("s").mean, 0.625);
  EXPECT_FALSE(metrics.at("other").higher_is_better);
  EXPECT_TRUE(metrics.at("s").higher_is_better);
}

// Scores that are given, for three arms.
class Given : public TaskRun {
 public:
  explicit Given(std::map<std::string, std::vector<double>> scores) : scores_(std::move(scores)) {
    for (size_t i = 0; i < scores_.begin()->second.size(); ++i)
      items_.push_back({std::to_string(i), Json::object(), 1});
  }
  const std::vector<Item>& items() const override { return items_; }
  Json run(size_t item, const Arm& arm, const ItemProgress&) override {
    const double score = scores_.at(arm.id)[item];
    return std::isnan(score) ? Json{{"skipped", "too long"}} : Json{{"scores", {{"f1", score}}}};
  }
  Json settings() const override { return Json::object(); }
  std::string headline() const override { return "f1"; }

 private:
  std::map<std::string, std::vector<double>> scores_;
  std::vector<Item> items_;
};

Json summary_of(Given run) {
  std::vector<Arm> arms(3);
  arms[0].id = "closed-book", arms[0].control = Control::closed_book;
  arms[1].id = "full-context", arms[1].control = Control::full_context;
  arms[2].id = "window-8";
  Json list = Json::array();
  for (const Arm& arm : arms) list.push_back({{"id", arm.id}});
  RunDirectory directory("", {{"arms", list}}, item_ids(run));
  run_items(run, arms, directory);
  return summarise(run, arms, directory);
}

TEST(Summary, MemoryScoreIsTheShareOfTheWayFromClosedBookToFullContext) {
  const Json summary = summary_of(Given({{"closed-book", {0.1, 0.2, 0.0, 0.1}},
                                         {"full-context", {0.9, 1.0, 0.5, 0.8}},
                                         {"window-8", {0.5, 0.3, 0.5, 0.1}}}));
  const Json& score = summary["arms"][2]["metrics"]["memory_score"];
  EXPECT_NEAR(score["mean"].get<double>(), (1.4 - 0.4) / (3.2 - 0.4), 1e-12);
  EXPECT_LE(score["low"], score["mean"]);
  EXPECT_GE(score["high"], score["mean"]);
  EXPECT_EQ(score["n"], 4);
  EXPECT_FALSE(summary["arms"][1]["metrics"].contains("memory_score"));
}

TEST(Summary, AMemoryScoreWithoutBoundsHasNoInterval) {
  const Json summary =
      summary_of(Given({{"closed-book", {0.5, 0.0}}, {"full-context", {0.0, 1.0}}, {"window-8", {0.5, 0.5}}}));
  const Json& score = summary["arms"][2]["metrics"]["memory_score"];
  EXPECT_DOUBLE_EQ(score["mean"].get<double>(), 1.0);
  EXPECT_EQ(score["interval"], "none");
}

TEST(Summary, NoMemoryScoreWhereFullContextDoesNotHelp) {
  const Json summary =
      summary_of(Given({{"closed-book", {0.5, 0.5}}, {"full-context", {0.5, 0.5}}, {"window-8", {0.5, 1}}}));
  EXPECT_FALSE(summary["arms"][2]["metrics"].contains("memory_score"));
}

TEST(Summary, SkippedItemsAreCountedAndNotScored) {
  const Json summary =
      summary_of(Given({{"closed-book", {0, 0, 0}}, {"full-context", {1, 1, 1}}, {"window-8", {1, NAN, 0.5}}}));
  EXPECT_EQ(summary["arms"][2]["n"], 2);
  EXPECT_EQ(summary["arms"][2]["skipped"], 1);
  EXPECT_DOUBLE_EQ(summary["arms"][2]["metrics"]["f1"]["mean"].get<double>(), 0.75);
  EXPECT_DOUBLE_EQ(summary["arms"][2]["metrics"]["memory_score"]["mean"].get<double>(), 0.75);
}

// What the mean hides is shown where the cells have names; numbered grids are for the report.
TEST(Summary, TheTextShowsNamedCells) {
  const auto cell = [](const Json& cell, double mean) {
    return Json{{"cell", cell}, {"n", 1}, {"metrics", {{"match", {{"mean", mean}}}}}};
  };
  const auto arm = [](const std::string& id, Json cells) {
    return Json{{"id", id},
                {"n", 2},
                {"skipped", 0},
                {"metrics", Json::object()},
                {"cells", std::move(cells)},
                {"slots", nullptr},
                {"bytes", nullptr},
                {"read_tokens_per_s", nullptr},
                {"decode_tokens_per_s", nullptr}};
  };
  const Json vt = {{"kind", "vt"}, {"length", 64}}, cwe = {{"kind", "cwe"}, {"length", 64}};
  const Json summary = {{"headline", "match"},
                        {"arms",
                         {arm("dense", {cell(vt, 0.5), cell(cwe, 0.25), cell({{"length", 64}}, 0.125)}),
                          arm("tova-8", Json::array({cell(cwe, 1)}))}}};
  const std::string text = summary_text(summary);
  EXPECT_NE(text.find("\n\nmatch               dense  tova-8\n"
                      "kind=vt length=64     0.5       -\n"
                      "kind=cwe length=64   0.25       1\n"),
            std::string::npos)
      << text;
  EXPECT_EQ(text.find("0.125"), std::string::npos);
}

}  // namespace
}  // namespace steno
