// A run that was stopped anywhere gives what an undisturbed run gives.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/random.h"
#include "eval/eval_test_util.h"
#include "methods/method_test_util.h"

namespace steno {
namespace {

using test::Bench;
using test::eval_data;
using test::read_bytes;
using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

ArmChoice choice() { return {.methods = {"dense", "window"}, .budgets = {40, 80}}; }

struct Outcome {
  std::vector<Json> lines;  // without times
  Json summary;             // without speeds
};

Outcome outcome(const Bench& bench, const RunDirectory& directory) {
  Outcome o;
  for (const Arm& arm : bench.arms)
    for (const Json* line : directory.lines(arm.id)) o.lines.push_back(test::without_times(*line));
  o.summary = Json::parse(json_line(summarise(*bench.run, bench.arms, directory)));
  for (Json& arm : o.summary["arms"]) arm.erase("read_tokens_per_s"), arm.erase("decode_tokens_per_s");
  return o;
}

TEST(Resume, AfterACutAtAnyByteTheResultIsThatOfAnUndisturbedRun) {
  const TemporaryFolder folder;
  Bench bench("ppl", eval_data("dialogue.jsonl"), {}, choice());
  const auto ids = item_ids(*bench.run);
  const auto whole = folder.path() / "whole";
  Outcome expected;
  {
    RunDirectory directory(whole, bench.record(), ids);
    run_items(*bench.run, bench.arms, directory);
    expected = outcome(bench, directory);
  }
  ASSERT_EQ(expected.lines.size(), 9u);  // 3 dialogues, dense once and window twice
  const std::string bytes = read_bytes(whole / "items.jsonl");
  const auto lines = static_cast<size_t>(std::count(bytes.begin(), bytes.end(), '\n'));

  Random random(1);
  std::vector<size_t> cuts = {0, 1, bytes.size() - 1, bytes.size(), bytes.find('\n'), bytes.find('\n') + 1};
  for (int i = 0; i < 12; ++i) cuts.push_back(random.below(bytes.size()));
  for (const size_t cut : cuts) {
    const auto again = folder.path() / ("cut-" + std::to_string(cut));
    std::filesystem::create_directories(again);
    std::filesystem::copy_file(whole / "run.json", again / "run.json",
                               std::filesystem::copy_options::overwrite_existing);
    std::ofstream(again / "items.jsonl", std::ios::binary) << bytes.substr(0, cut);
    RunDirectory directory(again, bench.record(), ids);
    const auto complete = static_cast<size_t>(std::count(bytes.begin(), bytes.begin() + cut, '\n'));
    EXPECT_EQ(directory.found(), complete) << cut;
    EXPECT_EQ(directory.was_torn(), cut > 0 && bytes[cut - 1] != '\n') << cut;
    run_items(*bench.run, bench.arms, directory);
    const Outcome got = outcome(bench, directory);
    EXPECT_EQ(got.lines, expected.lines) << cut;
    EXPECT_EQ(got.summary, expected.summary) << cut;
    // On the disk: the old lines untouched, every line once.
    const std::string after = read_bytes(again / "items.jsonl");
    const size_t kept = cut == 0 ? 0 : bytes.rfind('\n', cut - 1) + 1;
    EXPECT_EQ(after.substr(0, kept), bytes.substr(0, kept)) << cut;
    EXPECT_EQ(static_cast<size_t>(std::count(after.begin(), after.end(), '\n')), lines) << cut;
  }
}

// Counts what is really run.
class Counting : public TaskRun {
 public:
  explicit Counting(int items, int fail_at = -1) : fail_at_(fail_at) {
    for (int i = 0; i < items; ++i) items_.push_back({"item-" + std::to_string(i), Json{{"odd", i % 2}}, 1});
  }
  const std::vector<Item>& items() const override { return items_; }
  Json run(size_t item, const Arm&, const ItemProgress&) override {
    if (static_cast<int>(done.size()) == fail_at_) throw InputError("broken");
    done.push_back(item);
    return {{"scores", {{"right", item % 3 == 0 ? 1 : 0}}}};
  }
  Json settings() const override { return Json::object(); }
  std::string headline() const override { return "right"; }
  std::vector<size_t> done;

 private:
  int fail_at_;
  std::vector<Item> items_;
};

std::vector<Arm> one_arm() {
  Arm arm;
  arm.id = "a";
  return {arm};
}
const Json kRun = {{"seed", 1}, {"created", "now"}, {"arms", {{{"id", "a"}}}}};

TEST(Resume, NothingIsComputedTwiceAndErrorsNameTheItem) {
  const TemporaryFolder folder;
  Counting first(7, 4);
  {
    RunDirectory directory(folder.path(), kRun, item_ids(first));
    EXPECT_THAT([&] { run_items(first, one_arm(), directory); },
                ThrowsMessage<Error>(AllOf(HasSubstr("a, item-4"), HasSubstr("broken"))));
  }
  Counting second(7);
  RunDirectory directory(folder.path(), kRun, item_ids(second));
  std::vector<int64_t> seen;
  run_items(second, one_arm(), directory, [&](const RunProgress& p) {
    EXPECT_EQ(p.items_total, 7);
    EXPECT_EQ(p.tokens_total, 3);
    seen.push_back(p.items_done);
  });
  EXPECT_EQ(second.done, (std::vector<size_t>{4, 5, 6}));
  EXPECT_EQ(seen, (std::vector<int64_t>{4, 5, 6}));
  const Json summary = summarise(second, one_arm(), directory);
  EXPECT_EQ(summary["arms"][0]["n"], 7);
  EXPECT_EQ(summary["arms"][0]["metrics"]["right"]["interval"], "wilson");
  EXPECT_NEAR(summary["arms"][0]["metrics"]["right"]["mean"].get<double>(), 3.0 / 7, 1e-12);
  EXPECT_EQ(summary["arms"][0]["cells"].size(), 2u);
}

TEST(RunDirectory, RefusesAnotherRunAndNamesTheDifference) {
  const TemporaryFolder folder;
  { RunDirectory(folder.path(), kRun, {"x"}); }
  Json later = kRun;
  later["created"] = "tomorrow";
  { RunDirectory(folder.path(), later, {"x"}); }
  Json other = kRun;
  other["seed"] = 2;
  EXPECT_THAT([&] { RunDirectory(folder.path(), other, {"x"}); },
              ThrowsMessage<UsageError>(AllOf(HasSubstr("seed: 1 there, 2 now"), HasSubstr("--out"))));
  other = kRun;
  other["arms"][0]["budget"] = 64;
  EXPECT_THAT([&] { RunDirectory(folder.path(), other, {"x"}); },
              ThrowsMessage<UsageError>(HasSubstr("arms[0].budget: none there, 64 now")));
  other["arms"].push_back({{"id", "b"}});
  other["arms"][0].erase("budget");
  EXPECT_THAT([&] { RunDirectory(folder.path(), other, {"x"}); },
              ThrowsMessage<UsageError>(HasSubstr("arms: 1 entries there, 2 now")));
}

TEST(RunDirectory, RefusesFilesThatAreNoneOfThisRun) {
  const TemporaryFolder folder;
  { RunDirectory(folder.path(), kRun, {"x", "y"}); }
  const auto items = folder.path() / "items.jsonl";
  const auto opened = [&](const std::string& content) {
    std::ofstream(items, std::ios::binary) << content;
    return RunDirectory(folder.path(), kRun, {"x", "y"}).found();
  };
  const std::string x = R"({"arm":"a","item":"x"})"
                        "\n",
                    y = R"({"arm":"a","item":"y"})"
                        "\n";
  EXPECT_EQ(opened(x + y), 2u);
  EXPECT_EQ(opened(x + "\0\0\0\n"), 1u);  // what a crash of the machine leaves at the end
  EXPECT_EQ(read_bytes(items), x);
  EXPECT_THAT([&] { opened("{\n" + x); }, ThrowsMessage<InputError>(HasSubstr("items.jsonl:1")));
  EXPECT_THAT([&] { opened(x + x); }, ThrowsMessage<InputError>(AllOf(HasSubstr(":2"), HasSubstr("earlier line"))));
  EXPECT_THAT(
      [&] {
        opened(R"({"arm":"b","item":"x"})"
               "\n");
      },
      ThrowsMessage<InputError>(HasSubstr("no line of this run")));
  std::filesystem::remove(folder.path() / "run.json");
  EXPECT_THAT([&] { opened(x); }, ThrowsMessage<InputError>(HasSubstr("without the run.json")));
}

TEST(RunDirectory, OneProcessAtATime) {
  const TemporaryFolder folder;
  RunDirectory first(folder.path(), kRun, {"x"});
  // flock(2) belongs to the open file, so that one process can stand for two here.
  EXPECT_THAT([&] { RunDirectory(folder.path(), kRun, {"x"}); },
              ThrowsMessage<ResourceError>(HasSubstr("another process")));
}

// The path is the same, what lies there is not.
TEST(Resume, WithAnotherAdapterIsRefused) {
  const TemporaryFolder folder;
  const Method& icae = method_named("icae");
  const std::string place = (folder.path() / "adapter").string();
  const Model base = load_model(test::tiny_folder("llama_tied"), {.dtype = at::kFloat});
  const auto record = [&](uint64_t seed) {
    icae.open_objective(base, "ae", {{"k", "2"}, {"ratio", "4"}, {"rank", "2"}}, seed)->save(place, Json::object());
    return Bench("ppl", eval_data("dialogue.jsonl"), {},
                 {.methods = {"icae"}, .params = {{"icae", {{"adapter", place}}}}})
        .record();
  };
  const auto run = folder.path() / "run";
  const Json first = record(1);
  EXPECT_EQ(first["arms"][0]["identity"]["adapter"],
            icae.open_compressor(base, {{"adapter", place}})->identity().at("adapter"));
  { RunDirectory directory(run, first, {"x"}); }
  EXPECT_NO_THROW(RunDirectory(run, record(1), {"x"}));
  EXPECT_THAT([&] { RunDirectory(run, record(2), {"x"}); },
              ThrowsMessage<UsageError>(HasSubstr("arms[0].identity.adapter: \"")));
  const Bench dense("ppl", eval_data("dialogue.jsonl"), {}, {.methods = {"dense"}});
  EXPECT_FALSE(dense.record()["arms"][0].contains("identity"));
}

TEST(RunDirectory, WithoutAFolderNothingIsWritten) {
  Counting task(3);
  RunDirectory directory("", kRun, item_ids(task));
  run_items(task, one_arm(), directory);
  directory.write_summary(Json::object());
  EXPECT_EQ(directory.lines("a").size(), 3u);
}

}  // namespace
}  // namespace steno
