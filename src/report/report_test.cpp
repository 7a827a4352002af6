#include "report/report.h"

#include <gmock/gmock.h>

#include <fstream>
#include <regex>

#include "report/browser.h"
#include "report/figures.h"
#include "report/report_test_util.h"
#include "report/text.h"

namespace steno::report {
namespace {

using testing::HasSubstr;
using testing::Not;

// Enough of XML to tell a broken picture: tags nest and close, attributes are quoted, no stray '<' or '&'.
std::string xml_problem(const std::string& text) {
  static const std::regex tag(R"(<(\?xml [^?]*\?|/[A-Za-z]+|[A-Za-z]+(?:\s+[A-Za-z0-9:-]+="[^"<]*")*\s*/?)>)");
  std::vector<std::string> open;
  size_t at = 0;
  while ((at = text.find('<', at)) != std::string::npos) {
    std::smatch match;
    const std::string rest = text.substr(at, text.find('>', at) - at + 1);
    if (!std::regex_match(rest, match, tag)) return "no tag: " + rest;
    const std::string inside = match[1];
    const std::string name = inside.substr(0, inside.find_first_of(" \n/", 1));
    if (inside[0] == '/') {
      if (open.empty() || "/" + open.back() != inside) return "closes what is not open: " + inside;
      open.pop_back();
    } else if (inside[0] != '?' && inside.back() != '/') {
      open.push_back(name);
    }
    at += rest.size();
  }
  static const std::regex bare("&(?!(amp|lt|gt|quot|#39);)");
  if (std::regex_search(text, bare)) return "a bare &";
  return open.empty() ? "" : "not closed: " + open.back();
}

class ReportTest : public testing::Test {
 protected:
  void SetUp() override { write_sample(folder_); }
  Report report() { return make_report({read_run(folder_.path())}, {}); }
  test::TemporaryFolder folder_;
};

TEST_F(ReportTest, NumbersAreThoseOfTheSummary) {
  const std::vector<report::Run> runs = {read_run(folder_.path())};
  const std::string html = make_report(runs, {}).html;
  for (const Arm& arm : runs[0].arms) {
    const Metric& metric = arm.metrics.at("correct");
    EXPECT_THAT(html, HasSubstr(fmt::format("data-v=\"{}\" data-low=\"{}\" data-high=\"{}\" data-n=\"{}\"",
                                            *metric.mean, *metric.low, *metric.high, metric.n)));
    EXPECT_THAT(html,
                HasSubstr(fmt::format("{},{},{},{},{}", *arm.bytes, *metric.mean, *metric.low, *metric.high, metric.n)))
        << "numbers below the picture";
  }
}

TEST_F(ReportTest, FiguresOfAGrid) {
  const std::vector<report::Run> runs = {read_run(folder_.path())};
  std::map<std::string, int> groups;
  for (const Figure& figure : make_figures(runs[0], Styles(runs))) ++groups[figure.group];
  EXPECT_EQ(groups["quality"], 3) << "against budget, memory and time";
  EXPECT_EQ(groups["cells"], 4) << "by length and by depth, at two budgets";
  EXPECT_EQ(groups["map"], 3) << "one per arm";
}

TEST_F(ReportTest, ControlsAreLinesAcross) {
  const std::vector<report::Run> runs = {read_run(folder_.path())};
  const Chart chart = std::get<Chart>(make_figures(runs[0], Styles(runs))[0].picture);
  ASSERT_EQ(chart.references.size(), 1u);
  EXPECT_EQ(chart.references[0].name, "full-context");
  ASSERT_EQ(chart.series.size(), 1u);
  EXPECT_EQ(chart.series[0].points.size(), 2u);
}

TEST_F(ReportTest, HeatMapsHaveDepthsInRowsAndLengthsInColumns) {
  const std::vector<report::Run> runs = {read_run(folder_.path())};
  for (const Figure& figure : make_figures(runs[0], Styles(runs))) {
    if (figure.group != "map" || figure.title != "window-256") continue;
    const HeatMap& map = std::get<HeatMap>(figure.picture);
    EXPECT_EQ(map.rows, (std::vector<std::string>{"0", "100"}));
    EXPECT_EQ(map.columns, (std::vector<std::string>{"1,024", "2,048"}));
    EXPECT_EQ(map.cells[0][1].value, 0.0) << "the third item of the sample is wrong";
    EXPECT_EQ(map.cells[1][1].value, 1.0);
    EXPECT_THAT(figure.csv, HasSubstr("depth,length,correct,low,high,n\n0,1024,1,0,1,1\n"));
    return;
  }
  FAIL() << "no heat map of window-256";
}

TEST_F(ReportTest, PicturesAreWellFormed) {
  EXPECT_NE(xml_problem("<svg><g></svg>"), "");
  EXPECT_NE(xml_problem("<svg>a & b</svg>"), "");
  const Report made = report();
  EXPECT_EQ(made.pictures.size(), 10u);
  std::set<std::string> names;
  for (const auto& picture : made.pictures) {
    EXPECT_EQ(xml_problem(picture.svg), "") << picture.name;
    EXPECT_THAT(picture.svg, HasSubstr("prefers-color-scheme: dark"));
    EXPECT_THAT(picture.svg, Not(HasSubstr("NaN")));
    names.insert(picture.name);
  }
  EXPECT_EQ(names.size(), 10u) << "no picture takes another's name";
}

TEST_F(ReportTest, TextsFromOutsideStayText) {
  const std::string hostile = "</script><script>alert(1)</script><img src=x onerror=alert(1)>{{data}}\" '";
  Json run = sample_run();
  run["task"] = hostile, run["model"]["name"] = hostile, run["settings"] = {{hostile, hostile}}, run["seed"] = hostile;
  run["arms"][0]["positions"] = hostile;
  folder_.file("run.json", run.dump());
  Json item = sample_item("window-256", 1024, 0, 1);
  item["prediction"] = hostile, item["item"] = hostile, item["cell"]["length"] = hostile, item["more"] = hostile;
  std::ofstream(folder_.path() / "items.jsonl", std::ios::app) << item.dump() << "\n";
  std::filesystem::remove(folder_.path() / "summary.json");
  const Report made = report();
  EXPECT_THAT(made.html, Not(HasSubstr("<script>alert")));
  EXPECT_THAT(made.html, Not(HasSubstr("<img")));
  for (const auto& picture : made.pictures) {
    EXPECT_EQ(xml_problem(picture.svg), "") << picture.name;
    EXPECT_THAT(picture.name, Not(HasSubstr("/")));
  }
}

TEST_F(ReportTest, TheSameInputGivesTheSameBytes) { EXPECT_EQ(report().html, report().html); }

TEST_F(ReportTest, DifferentModelsAreShown) {
  const test::TemporaryFolder other;
  write_sample(other);
  Json run = sample_run();
  run["model"] = {{"name", "another"}, {"hash", "ffff"}};
  other.file("run.json", run.dump());
  const Report mixed = make_report({read_run(folder_.path()), read_run(other.path())}, {});
  EXPECT_THAT(mixed.html, HasSubstr("2 different models"));
  EXPECT_THAT(report().html, Not(HasSubstr("different models")));
}

TEST_F(ReportTest, NothingIsLoadedFromElsewhere) {
  const std::string html = report().html;
  EXPECT_THAT(html, HasSubstr("default-src 'none'"));
  EXPECT_FALSE(std::regex_search(html, std::regex("(src|href)=\"(https?:|//|file:)")));
}

TEST(BrowserTest, LongTextsLoseTheirMiddleAndSaySo) {
  EXPECT_EQ(shorten("short", 10), "short");
  EXPECT_EQ(shorten("0123456789", 0), "0123456789");
  const std::string cut = shorten("ääääabcdefghäääö", 8);
  EXPECT_TRUE(cut.starts_with("ääää ["));
  EXPECT_TRUE(cut.ends_with("] äääö"));
  EXPECT_THAT(cut, HasSubstr("8 characters left out"));
}

TEST(BrowserTest, SharesOfKeptPositions) {
  EXPECT_EQ(kept_shares({{0, 99}}, 200, 4), "9900");
  EXPECT_EQ(kept_shares({{0, 24}, {150, 150}}, 200, 4), "5001");
  EXPECT_EQ(kept_shares({}, 10, 20), std::string(20, '0'));
  EXPECT_EQ(kept_shares({{0, 9}}, 10, 20), std::string(20, '9')) << "more parts than positions";
}

TEST(BrowserTest, ManyRangesBecomeShares) {
  test::TemporaryFolder folder;
  write_sample(folder, false);
  report::Run run = read_run(folder.path());
  run.items.resize(1);
  run.items[0].kept.clear();
  for (int64_t i = 0; i < 100; ++i) run.items[0].kept.push_back({10 * i, 10 * i});
  const BrowserData data = browser_data(run, 0);
  const Json& item = data.json["items"][0];
  EXPECT_EQ(data.binned, 1);
  EXPECT_EQ(item["kn"], 100);
  EXPECT_EQ(item["kr"], 100);
  EXPECT_EQ(item["b"].get<std::string>().size(), 200u);
  EXPECT_FALSE(item.contains("k"));
  EXPECT_DOUBLE_EQ(item["nk"].get<double>(), 0.1) << "of the needle at 10-19, position 10 is kept";
}

}  // namespace
}  // namespace steno::report
