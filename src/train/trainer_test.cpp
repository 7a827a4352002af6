#include "train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "train/train_test_util.h"

namespace steno {
namespace {

using ::testing::HasSubstr;
using namespace test;

class TrainerTest : public ::testing::Test {
 protected:
  RunState train(LineFit& fit, const TrainConfig& config, bool with_valid = true) {
    const auto alone = single_process();
    const TemporaryFolder folder;
    return train_in(folder.path(), fit, config, *alone, with_valid);
  }
  RunState train_in(const std::filesystem::path& folder, LineFit& fit, const TrainConfig& config, Communicator& ranks,
                    bool with_valid = true) {
    Trainer trainer(fit, data_, with_valid ? &valid_ : nullptr, ranks, config,
                    {folder, false, Json::object(), Json::object()}, {&sink_});
    return trainer.run();
  }
  std::string reason(LineFit& fit, const TrainConfig& config) {
    try {
      train(fit, config);
    } catch (const Error& error) {
      return error.what();
    }
    return "it ended well";
  }

  Numbers data_{30}, valid_{12, 1};
  RecordingSink sink_;
};

TEST_F(TrainerTest, FitsALine) {
  LineFit fit;
  TrainConfig config = line_config();
  config.steps = 300;
  const RunState state = train(fit, config);
  EXPECT_LT((fit.slope() - at::tensor({2.0f, -1.0f, 0.5f})).abs().max().item<double>(), 0.01);
  EXPECT_NEAR(fit.offset().item<double>(), 0.25, 0.01);
  EXPECT_EQ(state.step, 300);
  EXPECT_EQ(state.updates, 300);
  EXPECT_EQ(state.tokens, 1200);
  ASSERT_TRUE(state.best_loss);
  EXPECT_LT(*state.best_loss, 1e-3);
}

TEST_F(TrainerTest, OneStepByHand) {
  LineFit fit;
  TrainConfig config = line_config();
  config.steps = 1;
  config.clip_norm = 0;
  config.warmup = 0;
  train(fit, config, false);
  // At zero the gradient of the mean is -2 mean(y x); Adam's first step is lr * gradient / (|gradient| + eps).
  at::Tensor gradient = at::zeros({3});
  double loss = 0;
  for (uint64_t i = 0; i < 4; ++i) {
    const auto ids = data_.at(i, config.seed).parts[0];
    const double y = 0.2 * ids[0] - 0.1 * ids[1] + 0.05 * ids[2] + 0.25;
    for (int64_t j = 0; j < 3; ++j) gradient[j] += -2 * y * ids[static_cast<size_t>(j)] / 10 / 4;
    loss += y * y / 4;
  }
  const at::Tensor expected = -config.lr * gradient / (gradient.abs() + config.eps);
  EXPECT_LT((fit.slope() - expected).abs().max().item<double>(), 1e-6);
  ASSERT_EQ(sink_.lines.size(), 1);
  EXPECT_NEAR(sink_.lines[0].values.at("train/loss"), loss, 1e-6);
  EXPECT_EQ(sink_.lines[0].values.at("lr"), config.lr);
}

TEST_F(TrainerTest, AccumulationDoesNotChangeWhatIsLearned) {
  std::vector<at::Tensor> slopes;
  for (const int64_t micro : {1, 3, 4}) {
    LineFit fit;
    TrainConfig config = line_config();
    config.micro_batch = micro;
    train(fit, config);
    slopes.push_back(fit.slope().detach());
  }
  for (const at::Tensor& slope : slopes) EXPECT_LT((slope - slopes[0]).abs().max().item<double>(), 1e-6);
}

TEST_F(TrainerTest, DropoutIsAFunctionOfSeedAndSample) {
  LineFit a(0.5), b(0.5), c(0.5);
  TrainConfig config = line_config();
  train(a, config);
  at::manual_seed(99);
  train(b, config);
  EXPECT_TRUE(a.slope().equal(b.slope()));
  config.seed = 12;
  train(c, config);
  EXPECT_FALSE(a.slope().equal(c.slope()));
}

TEST_F(TrainerTest, RanksShareABatchAndLearnTheSame) {
  LineFit alone;
  TrainConfig config = line_config();
  const RunState expected = train(alone, config);
  const auto expected_lines = sink_.lines;
  for (const int size : {2, 4}) {
    sink_.lines.clear();
    ThreadRanks ranks(size);
    const TemporaryFolder folder;
    std::vector<LineFit> fits(static_cast<size_t>(size));
    std::vector<RunState> states(fits.size());
    std::vector<std::thread> threads;
    for (int r = 0; r < size; ++r)
      threads.emplace_back([&, r] {
        ThreadRanks::Rank rank(ranks, r);
        states[static_cast<size_t>(r)] = train_in(folder.path(), fits[static_cast<size_t>(r)], config, rank);
      });
    for (std::thread& thread : threads) thread.join();
    for (const LineFit& fit : fits) {
      EXPECT_TRUE(fit.slope().equal(fits[0].slope()));
      EXPECT_LT((fit.slope() - alone.slope()).abs().max().item<double>(), 1e-5);
    }
    EXPECT_EQ(states[1].tokens, expected.tokens);
    EXPECT_EQ(states[1].best_step, expected.best_step);
    ASSERT_EQ(sink_.lines.size(), expected_lines.size());
    for (size_t i = 0; i < expected_lines.size(); ++i)
      for (const char* name : {"train/odd", "train/even", "valid/odd", "grad_norm"}) {
        if (!expected_lines[i].values.contains(name)) continue;
        EXPECT_NEAR(sink_.lines[i].values.at(name), expected_lines[i].values.at(name), 1e-5) << i << name;
      }
  }
}

TEST_F(TrainerTest, AFailureOnOneRankEndsAllAndLeavesACheckpoint) {
  ThreadRanks ranks(2);
  const TemporaryFolder folder;
  LineFit fits[2];
  // Sample 30 belongs to rank 1 of step 8 (index 7): 28, 29 | 30, 31.
  fits[1].before = [](const Example& e) {
    if (e.sample == 30) throw InputError("[data] x.jsonl:3: no text");
  };
  std::string lines[2];
  std::vector<std::thread> threads;
  for (int r = 0; r < 2; ++r)
    threads.emplace_back([&, r] {
      ThreadRanks::Rank rank(ranks, r);
      try {
        train_in(folder.path(), fits[r], line_config(), rank);
      } catch (const Error& error) {
        lines[r] = error.what();
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(lines[1], HasSubstr("x.jsonl:3"));
  EXPECT_THAT(lines[0], HasSubstr("another rank failed in step 8"));
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "checkpoints/step-00000007.safetensors"));
}

TEST_F(TrainerTest, ABatchMustBeShareable) {
  ThreadRanks ranks(3);
  ThreadRanks::Rank rank(ranks, 0);
  LineFit fit;
  const TemporaryFolder folder;
  EXPECT_THROW(train_in(folder.path(), fit, line_config(), rank), UsageError);
}

TEST_F(TrainerTest, StepsThatAreNotFiniteAreLeftOut) {
  LineFit fit, without;
  fit.factor = [](const Example& e) { return e.sample == 9 || e.sample == 21 ? NAN : 1.0; };
  const TrainConfig config = line_config();
  const RunState state = train(fit, config);
  EXPECT_EQ(state.skipped, 2);
  EXPECT_EQ(state.updates, 38);
  EXPECT_EQ(state.bad_in_a_row, 0);
  EXPECT_TRUE(fit.slope().isfinite().all().item<bool>());
  EXPECT_EQ(sink_.lines.back().values.contains("valid/loss") ? sink_.lines[sink_.lines.size() - 2].values.at("skipped")
                                                             : sink_.lines.back().values.at("skipped"),
            2);
  // A loss that is finite with a gradient that is not.
  LineFit infinite;
  infinite.factor = [](const Example& e) { return e.sample == 9 ? 1e38 : 1.0; };
  infinite.before = [&](const Example& e) {
    if (e.sample == 10) infinite.slope().mutable_grad().fill_(INFINITY);
  };
  EXPECT_GE(train(infinite, config).skipped, 1);
  EXPECT_TRUE(infinite.slope().isfinite().all().item<bool>());
}

TEST_F(TrainerTest, StopsWhenNothingIsFinite) {
  LineFit fit;
  fit.factor = [](const Example& e) { return e.sample >= 40 ? INFINITY : 1.0; };
  TrainConfig config = line_config();
  config.max_bad_steps = 5;
  const std::string line = reason(fit, config);
  EXPECT_THAT(line, HasSubstr("stopped at step 15: 5 steps in a row"));
  EXPECT_THAT(line, HasSubstr("step-00000010.safetensors"));
}

TEST_F(TrainerTest, StopsWhenItDiverges) {
  LineFit fit;
  fit.factor = [](const Example& e) { return e.sample >= 120 ? 1000.0 : 1.0; };
  TrainConfig config = line_config();
  config.steps = 200;
  config.lr = 1e-4;
  config.divergence_patience = 6;
  EXPECT_THAT(reason(fit, config), HasSubstr("stopped at step 36: the loss diverged: for 6 steps"));
}

TEST_F(TrainerTest, StepsWithNothingToLearnAreCounted) {
  LineFit fit;
  fit.supervised = [](const Example& e) { return e.sample / 4 % 2 == 0; };
  const RunState state = train(fit, line_config());
  EXPECT_EQ(state.empty, 20);
  EXPECT_EQ(state.updates, 20);
  EXPECT_EQ(state.skipped, 0);
}

TEST_F(TrainerTest, WritesWhatItSays) {
  LineFit fit;
  TrainConfig config = line_config();
  config.keep = 2;
  config.sample_every = 20;
  const auto alone = single_process();
  const TemporaryFolder folder;
  const RunState state = train_in(folder.path(), fit, config, *alone);
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "adapter/model.safetensors"));
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "best/model.safetensors"));
  const Json provenance = Json::parse(read_bytes(folder.path() / "adapter/provenance.json"));
  EXPECT_EQ(provenance["steps"], 40);
  EXPECT_EQ(provenance["config"]["lr"], "0.05");
  std::vector<int64_t> kept;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path() / "checkpoints"))
    kept.push_back(std::stoll(entry.path().filename().string().substr(5)));
  std::sort(kept.begin(), kept.end());
  EXPECT_EQ(kept.back(), 40);
  EXPECT_EQ(std::count(kept.begin(), kept.end(), state.best_step), 1);
  EXPECT_LE(kept.size(), 3);
  EXPECT_EQ(sink_.restarts, std::vector<int64_t>{-1});
  EXPECT_EQ(sink_.texts.size(), 4);  // two samples at steps 20 and 40
  std::vector<int64_t> logged, evaluated;
  for (const auto& line : sink_.lines) (line.values.contains("lr") ? logged : evaluated).push_back(line.step);
  EXPECT_EQ(evaluated, (std::vector<int64_t>{0, 8, 16, 24, 32, 40}));
  EXPECT_EQ(logged.size(), 14);  // every third step and the last
}

}  // namespace
}  // namespace steno
