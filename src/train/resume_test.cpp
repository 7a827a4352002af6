// Whatever ends a run, the resumed one is the undisturbed one, bit for bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>
#include <sstream>

#include "base/interrupt.h"
#include "train/json_lines.h"
#include "train/run_folder.h"
#include "train/train_test_util.h"

namespace steno {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using namespace test;

// Lines of metrics without what depends on the clock and the machine.
std::vector<Json> losses(const fs::path& folder) {
  std::vector<Json> lines;
  std::istringstream text(read_bytes(folder / "metrics.jsonl"));
  for (std::string line; std::getline(text, line);) {
    Json json = Json::parse(line);
    for (const char* name : {"tokens_per_s", "rss_bytes", "left_s"}) json.erase(name);
    lines.push_back(std::move(json));
  }
  return lines;
}

std::string newest_checkpoint(const fs::path& folder) {
  std::string newest;
  for (const auto& entry : fs::directory_iterator(folder / "checkpoints"))
    newest = std::max(newest, entry.path().filename().string());
  return newest;
}

class ResumeTest : public ::testing::Test {
 protected:
  ResumeTest() {
    config_ = line_config();
    config_.eval_every = 7;
    LineFit fit(0.3);
    undisturbed_ = train(whole_.path(), false, fit);
  }
  ~ResumeTest() override { clear_interrupt(); }

  RunState train(const fs::path& folder, bool resume, LineFit& fit) { return train(folder, resume, fit, config_); }
  RunState train(const fs::path& folder, bool resume, LineFit& fit, const TrainConfig& config,
                 const Json& setup = {{"data", "abc"}}) {
    const auto alone = single_process();
    const RunFolder lock(folder, resume);
    MetricsFile metrics(folder / "metrics.jsonl");
    SamplesFile samples(folder / "samples.jsonl");
    Trainer trainer(fit, data_, &valid_, *alone, config, {folder, resume, setup, {{"ranks", 1}}}, {&metrics, &samples});
    return trainer.run();
  }
  std::string refusal(const fs::path& folder, const TrainConfig& config, const Json& setup = {{"data", "abc"}}) {
    LineFit fit(0.3);
    try {
      train(folder, true, fit, config, setup);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "it was resumed";
  }
  void expect_as_undisturbed(const fs::path& folder) {
    EXPECT_EQ(losses(folder), losses(whole_.path()));
    EXPECT_EQ(read_bytes(folder / "adapter/model.safetensors"),
              read_bytes(whole_.path() / "adapter/model.safetensors"));
    EXPECT_EQ(read_bytes(folder / "best/model.safetensors"), read_bytes(whole_.path() / "best/model.safetensors"));
    const std::string newest = "checkpoints/" + newest_checkpoint(whole_.path());
    EXPECT_EQ(read_bytes(folder / newest), read_bytes(whole_.path() / newest));
  }

  Numbers data_{30}, valid_{12, 1};
  TrainConfig config_;
  TemporaryFolder whole_;  // of a run that nothing disturbed
  RunState undisturbed_;
};

TEST_F(ResumeTest, AfterAKillAtAnyMoment) {
  ASSERT_GE(losses(whole_.path()).size(), 18);
  // What a kill leaves is what the disk holds at that moment: copies of the folder, taken at random samples.
  Random random(5);
  std::vector<uint64_t> moments = {0, 1, 159};
  for (int i = 0; i < 9; ++i) moments.push_back(random.below(160));
  const TemporaryFolder copies, live;
  LineFit fit(0.3);
  fit.before = [&](const Example& e) {
    for (size_t i = 0; i < moments.size(); ++i)
      if (moments[i] == e.sample) fs::copy(live.path(), copies.path() / std::to_string(i), fs::copy_options::recursive);
  };
  fs::create_directories(live.path());
  train(live.path(), false, fit);
  expect_as_undisturbed(live.path());
  for (size_t i = 0; i < moments.size(); ++i) {
    SCOPED_TRACE(moments[i]);
    const fs::path folder = copies.path() / std::to_string(i);
    std::ofstream(folder / "metrics.jsonl", std::ios::app) << R"({"step": 39, "train/lo)";  // half a line
    fs::create_directories(folder / "best");
    const fs::path halves[] = {folder / "checkpoints/.step-00000039.safetensors.1-0.tmp", folder / "best/.m.1-0.tmp"};
    for (const fs::path& half : halves) std::ofstream(half) << "half a file";
    LineFit resumed(0.3);
    train(folder, true, resumed);
    expect_as_undisturbed(folder);
    for (const fs::path& half : halves) EXPECT_FALSE(fs::exists(half));
  }
}

TEST_F(ResumeTest, BeforeTheFirstCheckpoint) {
  const TemporaryFolder folder;
  LineFit fit(0.3);
  train(folder.path(), true, fit);
  expect_as_undisturbed(folder.path());
}

TEST_F(ResumeTest, ARunThatHasEndedIsTheSame) {
  fs::remove_all(whole_.path() / "adapter");
  LineFit fit(0.3);
  const auto before = losses(whole_.path());
  const RunState state = train(whole_.path(), true, fit);
  EXPECT_EQ(state.to_json(), undisturbed_.to_json());
  EXPECT_EQ(losses(whole_.path()), before);
  EXPECT_TRUE(fs::exists(whole_.path() / "adapter/model.safetensors"));
}

TEST_F(ResumeTest, ADamagedCheckpointIsPassedOver) {
  const std::string newest = newest_checkpoint(whole_.path());
  const TemporaryFolder copies;
  for (const char* damage : {"flip", "cut", "empty"}) {
    SCOPED_TRACE(damage);
    const fs::path folder = copies.path() / damage, file = folder / "checkpoints" / newest;
    fs::copy(whole_.path(), folder, fs::copy_options::recursive);
    std::string bytes = read_bytes(file);
    if (std::string(damage) == "flip")
      bytes[bytes.size() - 3] ^= 4;
    else
      bytes.resize(std::string(damage) == "cut" ? bytes.size() - 5 : 0);
    std::ofstream(file, std::ios::binary) << bytes;
    LineFit fit(0.3);
    train(folder, true, fit);
    expect_as_undisturbed(folder);
  }
  for (const auto& entry : fs::directory_iterator(whole_.path() / "checkpoints")) fs::resize_file(entry.path(), 100);
  LineFit fit(0.3);
  EXPECT_THROW(train(whole_.path(), true, fit), InputError);
}

TEST_F(ResumeTest, AnotherConfigurationIsRefusedByName) {
  TrainConfig other = config_;
  other.lr = 0.04;
  EXPECT_THAT(refusal(whole_.path(), other), HasSubstr("lr is 0.05 there and 0.04 now"));
  other = config_;
  other.seed = 12;
  EXPECT_THAT(refusal(whole_.path(), other), HasSubstr("seed is 11 there and 12 now"));
  EXPECT_THAT(refusal(whole_.path(), config_, {{"data", "abd"}}), HasSubstr("data is \"abc\" there and \"abd\" now"));
  EXPECT_THAT(refusal(whole_.path(), config_, {{"data", "abc"}, {"method", "x"}}),
              HasSubstr("method is nothing there"));
  other = config_;
  other.steps = 30;
  EXPECT_THAT(refusal(whole_.path(), other), HasSubstr("40 steps are done already, more than the 30"));
  other.steps = 44;
  other.log_every = 1;
  other.keep = 1;
  EXPECT_EQ(refusal(whole_.path(), other), "it was resumed");
  EXPECT_EQ(newest_checkpoint(whole_.path()), "step-00000044.safetensors");
}

TEST_F(ResumeTest, AfterCtrlC) {
  install_interrupt_handler(1000);
  for (const uint64_t moment : {2, 55, 111}) {
    SCOPED_TRACE(moment);
    const TemporaryFolder folder;
    LineFit fit(0.3), again(0.3);
    fit.before = [&](const Example& e) {
      if (e.sample == moment) std::raise(SIGINT);
    };
    try {
      train(folder.path(), false, fit);
      ADD_FAILURE() << "it went on";
    } catch (const Interrupted& error) {
      // The step that was under way is finished.
      EXPECT_THAT(error.what(), HasSubstr(fmt::format("interrupted after step {} of 40", moment / 4 + 1)));
      EXPECT_THAT(error.what(), HasSubstr("--resume"));
      EXPECT_EQ(newest_checkpoint(folder.path()), fmt::format("step-{:08}.safetensors", moment / 4 + 1));
    }
    clear_interrupt();
    EXPECT_FALSE(fs::exists(folder.path() / "adapter"));
    train(folder.path(), true, again);
    expect_as_undisturbed(folder.path());
  }
}

TEST_F(ResumeTest, AfterAnError) {
  const TemporaryFolder folder;
  LineFit fit(0.3), again(0.3);
  fit.before = [](const Example& e) {
    if (e.sample == 90) throw InputError("[data] x: broken");
  };
  EXPECT_THROW(train(folder.path(), false, fit), InputError);
  EXPECT_EQ(newest_checkpoint(folder.path()), "step-00000022.safetensors");
  train(folder.path(), true, again);
  expect_as_undisturbed(folder.path());
}

// Files of this process cannot grow beyond `bytes` while it lives.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) {
    old_handler_ = std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit = {bytes, old_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() {
    setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit old_{};
  void (*old_handler_)(int);
};

TEST_F(ResumeTest, AFullDiskCostsTheNewCheckpointOnly) {
  constexpr int64_t kBallast = 20000;  // 240 kB of checkpoint
  for (const char* rule : {"stop", "continue"}) {
    SCOPED_TRACE(rule);
    TrainConfig config = config_;
    config.on_full_disk = rule;
    config.eval_every = 0;
    const TemporaryFolder expected, folder;
    LineFit whole(0.3, kBallast), fit(0.3, kBallast), again(0.3, kBallast);
    train(expected.path(), false, whole, config);

    std::optional<FullDisk> full;
    fit.before = [&](const Example& e) {
      if (e.sample == 50) full.emplace(100'000);  // step 13: the checkpoint of step 15 does not fit
      if (e.sample == 90) full.reset();           // step 23: there is room for that of step 25
    };
    if (std::string(rule) == "stop") {
      try {
        train(folder.path(), false, fit, config);
        ADD_FAILURE() << "it went on";
      } catch (const ResourceError& error) {
        full.reset();
        EXPECT_THAT(error.what(), HasSubstr("the checkpoint of step 15 could not be written"));
        EXPECT_THAT(error.what(), HasSubstr("step-00000010.safetensors"));
      }
      EXPECT_EQ(newest_checkpoint(folder.path()), "step-00000010.safetensors");
      train(folder.path(), true, again, config);
    } else {
      train(folder.path(), false, fit, config);
      full.reset();
    }
    EXPECT_EQ(losses(folder.path()), losses(expected.path()));
    EXPECT_EQ(read_bytes(folder.path() / "checkpoints/step-00000040.safetensors"),
              read_bytes(expected.path() / "checkpoints/step-00000040.safetensors"));
  }
}

TEST_F(ResumeTest, ARunWhoseAdapterDoesNotFitFails) {
  // LineFit's checkpoints and metrics fit; what it saves as its adapter does not.
  TrainConfig config = config_;
  config.on_full_disk = "continue";
  config.eval_every = 0;
  struct BigAdapter : LineFit {
    using LineFit::LineFit;
    void save(const std::filesystem::path& folder, const Json& provenance) const override {
      const FullDisk full(100);
      LineFit::save(folder, provenance);
    }
  } fit(0.3);
  const TemporaryFolder folder;
  try {
    train(folder.path(), false, fit, config);
    ADD_FAILURE() << "a run without its adapter passed for done";
  } catch (const ResourceError& error) {
    EXPECT_THAT(error.what(), HasSubstr("adapter could not be written"));
    EXPECT_THAT(error.what(), HasSubstr("step-00000040.safetensors"));
  }
  LineFit again(0.3);
  train(folder.path(), true, again, config);
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "adapter/model.safetensors"));
}

TEST_F(ResumeTest, AFolderIsForOneRun) {
  LineFit fit(0.3);
  try {
    train(whole_.path(), false, fit);
    ADD_FAILURE() << "it was overwritten";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("is not empty"));
  }
  const RunFolder lock(whole_.path(), true);
  EXPECT_THROW(RunFolder(whole_.path(), true), ResourceError);
  EXPECT_THROW(RunFolder(whole_.path() / "metrics.jsonl", true), InputError);
}

TEST(JsonLines, AreCutWholeOrNotAtAll) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "m.jsonl";
  JsonLines lines(path);
  lines.cut_after(-1);
  for (int step = 1; step <= 4; ++step) lines.append({{"step", step}, {"x", NAN}});
  EXPECT_EQ(read_bytes(path).substr(0, 20), "{\"step\":1,\"x\":null}\n");
  lines.cut_after(2);
  lines.append({{"step", 3}});
  EXPECT_EQ(read_bytes(path), "{\"step\":1,\"x\":null}\n{\"step\":2,\"x\":null}\n{\"step\":3}\n");
  std::ofstream(path) << "{\"step\": 1}\nhello\n{\"step\": 2}\n";
  EXPECT_THROW(JsonLines(path).cut_after(5), InputError);
  EXPECT_EQ(read_bytes(path), "{\"step\": 1}\nhello\n{\"step\": 2}\n");
}

}  // namespace
}  // namespace steno
