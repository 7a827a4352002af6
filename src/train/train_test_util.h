// For tests only: an objective that fits a line, examples in memory, ranks that are threads.
#pragma once
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <barrier>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/files_test_util.h"
#include "base/random.h"
#include "io/safetensors.h"
#include "train/trainer.h"

namespace steno::test {

// Example i holds three small numbers, a function of i modulo the size.
class Numbers : public ExampleSource {
 public:
  explicit Numbers(int64_t size, uint64_t salt = 0) : size_(size), salt_(salt) {}
  int64_t size() const override { return size_; }
  Example at(uint64_t sample, uint64_t seed) const override {
    Random random(sample % static_cast<uint64_t>(size_) + 1000 * salt_);
    Example example;
    example.sample = sample;
    example.parts.emplace_back();
    for (int i = 0; i < 3; ++i) example.parts[0].push_back(static_cast<TokenId>(random.below(21)) - 10);
    return example;
  }

 private:
  int64_t size_;
  uint64_t salt_;
};

// y = 2 x0 - x1 + 0.5 x2 + 0.25, with x in [-1, 1]; squared errors as "losses", one "token" each, named by the parity
// of the sample's number so that one batch has two objectives.
class LineFit : public Objective {
 public:
  explicit LineFit(double dropout = 0, int64_t ballast = 0) : dropout_(dropout) {
    slope_ = at::zeros({3}).set_requires_grad(true);
    offset_ = at::zeros({1}).set_requires_grad(true);
    if (ballast > 0) ballast_ = at::ones({ballast}).set_requires_grad(true);  // makes checkpoints large
  }

  std::vector<Parameter> parameters() const override {
    std::vector<Parameter> all = {{"slope", slope_}, {"offset", offset_, false}};
    if (ballast_.defined()) all.push_back({"ballast", ballast_, false});
    return all;
  }
  LossSums accumulate(std::span<const Example> batch, uint64_t seed) override {
    LossSums sums;
    for (const Example& e : batch) {
      if (before) before(e);
      at::Tensor prediction = at::dropout(x_of(e), dropout_, true).dot(slope_) + offset_.sum();
      if (ballast_.defined()) prediction = prediction + ballast_.mean() * 0.01;
      at::Tensor loss = (prediction - y_of(e)).square() * factor(e);
      loss.backward();
      const bool counts = supervised(e);
      sums[name_of(e)] += {counts ? loss.item<double>() : 0, counts ? 1 : 0, 1};
    }
    return sums;
  }
  LossSums evaluate(std::span<const Example> batch, uint64_t seed) override {
    LossSums sums;
    for (const Example& e : batch)
      sums[name_of(e)] += {(x_of(e).dot(slope_) + offset_.sum() - y_of(e)).square().item<double>(), 1, 1};
    return sums;
  }
  std::vector<TrainingSample> write_samples(std::span<const Example> batch) override {
    std::vector<TrainingSample> samples;
    for (const Example& e : batch) samples.push_back({fmt::format("{}", y_of(e)), "guess"});
    return samples;
  }
  void save(const std::filesystem::path& folder, const Json& provenance) const override {
    std::filesystem::create_directories(folder);
    write_safetensors(folder / "model.safetensors", {{"slope", slope_}, {"offset", offset_}});
    std::ofstream(folder / "provenance.json") << provenance.dump();
  }

  std::function<void(const Example&)> before;                                         // of every example
  std::function<double(const Example&)> factor = [](const Example&) { return 1.0; };  // of its loss
  std::function<bool(const Example&)> supervised = [](const Example&) { return true; };
  const at::Tensor& slope() const { return slope_; }
  const at::Tensor& offset() const { return offset_; }

 private:
  static std::string name_of(const Example& e) { return e.sample % 2 ? "odd" : "even"; }
  static at::Tensor x_of(const Example& e) {
    std::vector<float> x;
    for (const TokenId id : e.parts[0]) x.push_back(static_cast<float>(id) / 10);
    return at::tensor(x);
  }
  static double y_of(const Example& e) {
    const auto& ids = e.parts[0];
    return 0.2 * ids[0] - 0.1 * ids[1] + 0.05 * ids[2] + 0.25;
  }

  double dropout_;
  at::Tensor slope_, offset_, ballast_;
};

// Ranks that are threads of this process.
class ThreadRanks {
 public:
  explicit ThreadRanks(int size) : size_(size), turn_(size), shared_(static_cast<size_t>(size)) {}

  class Rank : public Communicator {
   public:
    Rank(ThreadRanks& all, int rank) : all_(all), rank_(rank) {}
    int rank() const override { return rank_; }
    int size() const override { return all_.size_; }
    void sum(at::Tensor& values) override {
      all_.shared_[static_cast<size_t>(rank_)] = values.clone();
      all_.turn_.arrive_and_wait();
      at::Tensor sum = all_.shared_[0].clone();
      for (int r = 1; r < all_.size_; ++r) sum.add_(all_.shared_[static_cast<size_t>(r)]);
      all_.turn_.arrive_and_wait();
      values.copy_(sum);
    }
    void broadcast(at::Tensor& values, int root) override {
      if (rank_ == root) all_.shared_[0] = values.clone();
      all_.turn_.arrive_and_wait();
      values.copy_(all_.shared_[0]);
      all_.turn_.arrive_and_wait();
    }
    void barrier() override { all_.turn_.arrive_and_wait(); }

   private:
    ThreadRanks& all_;
    int rank_;
  };

 private:
  int size_;
  std::barrier<> turn_;
  std::vector<at::Tensor> shared_;
};

// Keeps what it is told.
class RecordingSink : public MetricsSink {
 public:
  struct Line {
    int64_t step;
    std::map<std::string, double> values;
  };
  void restart(int64_t step) override { restarts.push_back(step); }
  void scalars(int64_t step, const Scalars& values) override {
    lines.push_back({step, {values.begin(), values.end()}});
  }
  void text(int64_t step, const std::string& name, const std::string& text) override { texts.push_back(name); }
  std::vector<Line> lines;
  std::vector<std::string> texts;
  std::vector<int64_t> restarts;
};

inline TrainConfig line_config() {
  TrainConfig config;
  config.steps = 40;
  config.batch = 4;
  config.lr = 0.05;
  config.warmup = 3;
  config.seed = 11;
  config.log_every = 3;
  config.eval_every = 8;
  config.eval_examples = 10;
  config.save_every = 5;
  return config;
}

}  // namespace steno::test
