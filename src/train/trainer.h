// The loop that every learned method is trained by: batches in a fixed order, averaged gradients, clipping, AdamW,
// metrics, evaluation, checkpoints. What is learned is behind Objective; the trainer's own test fits a line.
#pragma once
#include <exception>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "train/adamw.h"
#include "train/checkpoints.h"
#include "train/communicator.h"
#include "train/example_source.h"
#include "train/exchange.h"
#include "train/metrics_sink.h"
#include "train/objective.h"
#include "train/run_state.h"
#include "train/train_config.h"

namespace steno {

struct TrainRun {
  std::filesystem::path folder;  // see run_folder.h
  bool resume = false;           // from the newest checkpoint in it, if there is one
  Json setup, environment;       // see RunIdentity
};

// Step t trains on samples t * batch .. (t + 1) * batch - 1 of the run; rank r takes its contiguous share. A step, and
// so a whole run, is a function of (configuration, data, seed): stopped anywhere and resumed from a checkpoint it gives
// the same bits as undisturbed. One thread per rank; everything is collective. The arguments outlive the trainer.
class Trainer {
 public:
  // `valid` may be null. `sinks` are called on rank 0. Throws UsageError for the configuration.
  Trainer(Objective& objective, const ExampleSource& train, const ExampleSource* valid, Communicator& ranks,
          TrainConfig config, TrainRun run, std::vector<MetricsSink*> sinks);

  // Trains to the end and writes FOLDER/adapter; FOLDER/best has the smallest loss on held-out data. Throws
  //   Interrupted    after Ctrl-C: the step was finished and a checkpoint written
  //   UsageError     a checkpoint of another configuration
  //   ResourceError  disk full and on_full_disk is "stop"; a rank that failed
  //   Error          the loss diverged or was not finite too often: with the reason; nothing is written
  // and whatever the objective or the data throw, after a checkpoint of the last finished step.
  RunState run();

 private:
  void start();
  void step();
  // False when Ctrl-C ended it halfway: nothing has changed.
  bool gather_gradients(LossSums& sums);
  // After work that every rank did for itself: throws on all ranks where one failed, true on all where one was stopped.
  bool stop_together(const std::exception_ptr& failure, bool stopped, const std::string& where);
  LossSums accumulate();
  // Divides by the tokens, clips, updates. The norm before clipping; nothing when it is not finite.
  std::optional<double> update(int64_t tokens, double rate);
  void after_step(double rate, std::optional<double> norm);
  void log(double rate, std::optional<double> norm);
  // True when it is the best so far. Ctrl-C leaves it undone, to be done on resume.
  bool evaluate();
  void write_samples();
  void save_checkpoint();
  void save_model(const std::string& name);
  void save_after_error() noexcept;
  Json provenance() const;
  std::string newest_checkpoint() const;

  // Runs `work` on rank 0; where it throws, every rank does.
  void on_rank_0(const std::function<void()>& work);
  void tell_sinks(const std::function<void(MetricsSink&)>& what);
  // `work` writes to the disk: a full one ends the run, or costs only what was to be written.
  void write(const std::string& what, const std::function<void()>& work) const;
  void write_or_stop(const std::string& what, const std::function<void()>& work) const;
  [[noreturn]] void stop_without(const std::string& what, const std::exception& error) const;

  Objective& objective_;
  const ExampleSource& train_;
  const ExampleSource* valid_;
  Communicator& ranks_;
  TrainConfig config_;
  TrainRun run_;
  std::vector<MetricsSink*> sinks_;
  std::vector<Parameter> parameters_;
  Adamw adamw_;
  LossExchange losses_;
  Checkpoints checkpoints_;
  RunState state_;
  bool interrupted_ = false;  // on some rank
  bool whole_ = false;        // parameters, moments and state are there and of the same step
  int64_t saved_ = -1;        // last step that a checkpoint was tried for
  // Of this process, for speed and what is left.
  double busy_ = 0, busy_since_log_ = 0;  // seconds in steps
  int64_t steps_here_ = 0, tokens_since_log_ = 0;
};

}  // namespace steno
