#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/files_test_util.h"
#include "train/adamw.h"
#include "train/run_state.h"
#include "train/train_config.h"
#include "train/train_test_util.h"

namespace steno {
namespace {

using test::read_bytes;
using ::testing::HasSubstr;

// tests/golden/make_adamw.py
TEST(Adamw, ValuesAndNormsOfTorch) {
  const Json golden = Json::parse(read_bytes(std::string(STENO_SOURCE_DIR) + "/tests/data/train/adamw.json"));
  const auto tensor = [](const Json& numbers) { return at::tensor(numbers.get<std::vector<float>>()); };
  std::vector<Parameter> parameters = {{"a", tensor(golden["start"][0]).view({3, 4}), true},
                                       {"b", tensor(golden["start"][1]), false}};
  for (Parameter& p : parameters) p.value.set_requires_grad(true);
  Adamw adamw(parameters, {golden["betas"][0], golden["betas"][1], golden["eps"], golden["weight_decay"]});
  const double clip = golden["clip_norm"];
  ASSERT_EQ(golden["steps"].size(), 6);
  int clipped = 0;
  for (const Json& step : golden["steps"]) {
    zero_gradients(parameters);
    for (size_t i = 0; i < 2; ++i)
      parameters[i].value.mutable_grad().copy_(tensor(step["gradients"][i]).view_as(parameters[i].value));
    const double norm = gradient_norm(parameters);
    EXPECT_NEAR(norm, step["norm"].get<double>(), 1e-6 * norm);
    clipped += norm > clip;
    scale_gradients(parameters, std::min(1.0, clip / (norm + 1e-6)));
    adamw.step(step["lr"]);
    for (size_t i = 0; i < 2; ++i) {
      const at::Tensor expected = tensor(step["values"][i]).view_as(parameters[i].value);
      EXPECT_LT((parameters[i].value - expected).abs().max().item<double>(), 1e-6);
    }
  }
  EXPECT_GE(clipped, 2);
  EXPECT_EQ(adamw.updates(), 6);
}

TEST(Adamw, AParameterWithoutGradientCountsAsZero) {
  std::vector<Parameter> parameters = {{"used", at::ones({2}).set_requires_grad(true)},
                                       {"unused", at::ones({2}).set_requires_grad(true)}};
  zero_gradients(parameters);
  (parameters[0].value * 3).sum().backward();
  EXPECT_NEAR(gradient_norm(parameters), 3 * std::sqrt(2.0), 1e-6);
  Adamw adamw(parameters, {});
  adamw.step(0.1);
  EXPECT_NEAR(parameters[0].value[0].item<double>(), 0.9, 1e-5);
  EXPECT_EQ(parameters[1].value[0].item<double>(), 1.0);
}

TEST(LearningRate, RisesAndFalls) {
  TrainConfig config;
  config.steps = 110;
  config.warmup = 10;
  config.lr = 2;
  config.min_lr_ratio = 0.25;
  EXPECT_DOUBLE_EQ(learning_rate(config, 0), 0.2);
  EXPECT_DOUBLE_EQ(learning_rate(config, 9), 2);
  config.schedule = "constant";
  EXPECT_DOUBLE_EQ(learning_rate(config, 77), 2);
  config.schedule = "linear";
  EXPECT_DOUBLE_EQ(learning_rate(config, 10), 2);
  EXPECT_DOUBLE_EQ(learning_rate(config, 60), 1.25);
  EXPECT_DOUBLE_EQ(learning_rate(config, 110), 0.5);
  EXPECT_DOUBLE_EQ(learning_rate(config, 500), 0.5);
  config.schedule = "cosine";
  EXPECT_DOUBLE_EQ(learning_rate(config, 60), 1.25);
  EXPECT_NEAR(learning_rate(config, 35), 2 * (0.25 + 0.75 * 0.5 * (1 + std::sqrt(0.5))), 1e-12);
  config.warmup = 0;
  EXPECT_DOUBLE_EQ(learning_rate(config, 0), 2);
}

TEST(TrainConfig, RefusesWhatMakesNoSense) {
  TrainConfig().check(1);
  const auto line = [](const FieldValues& fields, int ranks = 1) -> std::string {
    TrainConfig config;
    set_fields("train", config, fields);
    try {
      config.check(ranks);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(line({{"steps", "0"}}), HasSubstr("steps must be at least 1, not 0"));
  EXPECT_THAT(line({{"lr", "-1"}}), HasSubstr("lr must be a positive number"));
  EXPECT_THAT(line({{"schedule", "cosin"}}), HasSubstr("constant, cosine, linear"));
  EXPECT_THAT(line({{"on_full_disk", "panic"}}), HasSubstr("continue, stop"));
  EXPECT_THAT(line({{"beta2", "1"}}), HasSubstr("beta2 must be in [0, 1)"));
  EXPECT_THAT(line({{"save_every", "-1"}}), HasSubstr("save_every"));
  EXPECT_THAT(line({{"divergence_factor", "0.5"}}), HasSubstr("divergence_factor"));
  EXPECT_THAT(line({{"batch", "6"}}, 4), HasSubstr("batch 6 cannot be shared evenly by 4 ranks"));
  EXPECT_EQ(line({{"batch", "8"}}, 4), "accepted");
}

TEST(LossWatch, WaitsForPatienceAndForgives) {
  LossWatch watch;
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(watch.diverged(2.0, 3, 4));
  EXPECT_NEAR(*watch.best, 2.0, 1e-9);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(watch.diverged(7, 3, 4));
  EXPECT_FALSE(watch.diverged(5, 3, 4));  // not above: the count begins anew
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(watch.diverged(7, 3, 4));
  EXPECT_TRUE(watch.diverged(7, 3, 4));
  LossWatch never = watch;
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(never.diverged(1e9, 0, 4));
  // A loss near zero may jump within the floor of half a nat.
  LossWatch small;
  for (int i = 0; i < 50; ++i) small.diverged(0.001, 3, 2);
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(small.diverged(1.4, 3, 2));
}

TEST(RunState, GoesThroughJsonBitForBit) {
  RunState state;
  state.step = 12;
  state.updates = 11;
  state.tokens = 12345678901;
  state.skipped = 1;
  state.window["ae"] = {0.1 + 0.2, 7, 2};
  state.watch = {1.0 / 3, 2.0 / 7, 25, 1e-300, 3};
  state.best_loss = std::nextafter(2.0, 3.0);
  state.best_step = 8;
  state.evaluation_due = true;
  const Json json = state.to_json();
  EXPECT_EQ(RunState::from_json(Json::parse(json.dump()), "x").to_json(), json);
  EXPECT_EQ(RunState::from_json(Json::parse(json.dump()), "x").window.at("ae").loss, 0.1 + 0.2);
  EXPECT_EQ(RunState::from_json(Json::parse(json.dump()), "x").watch.best, 1e-300);
  EXPECT_THROW(RunState::from_json(Json::parse(R"({"step": "many"})"), "x"), InputError);
  EXPECT_THROW(RunState::from_json(Json::array(), "x"), InputError);
}

}  // namespace
}  // namespace steno
