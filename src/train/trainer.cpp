#include "train/trainer.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <exception>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/process.h"
#include "base/random.h"

namespace steno {
namespace {

// The run is over, by decision: the last checkpoint is what to go back to, so none is written.
class Stopped : public Error {
 public:
  explicit Stopped(const std::string& line) : Error(ExitCode::input, line) {}
};

// Dropout and whatever else draws from the device's generator becomes a function of the run's seed and the sample.
void seed_generators(uint64_t seed, uint64_t sample) { at::manual_seed(Random(Random(seed).next() ^ sample).next()); }

std::vector<Example> take(const ExampleSource& source, int64_t begin, int64_t count, uint64_t seed) {
  std::vector<Example> examples;
  for (int64_t i = 0; i < count; ++i) examples.push_back(source.at(static_cast<uint64_t>(begin + i), seed));
  return examples;
}

void add_losses(Scalars& values, const std::string& prefix, const LossSums& sums) {
  const LossSum all = total(sums);
  if (all.tokens == 0) return;
  values.emplace_back(prefix + "/loss", all.loss / static_cast<double>(all.tokens));
  for (const auto& [name, sum] : sums)
    if (sum.tokens > 0) values.emplace_back(prefix + "/" + name, sum.loss / static_cast<double>(sum.tokens));
}

std::vector<std::pair<std::string, at::Tensor>> checkpointed(const std::vector<Parameter>& parameters,
                                                             const Adamw& adamw) {
  auto tensors = adamw.moments();
  for (const Parameter& p : parameters) tensors.emplace_back("value/" + p.name, p.value);
  return tensors;
}

}  // namespace

Trainer::Trainer(Objective& objective, const ExampleSource& train, const ExampleSource* valid, Communicator& ranks,
                 TrainConfig config, TrainRun run, std::vector<MetricsSink*> sinks)
    : objective_(objective),
      train_(train),
      valid_(valid),
      ranks_(ranks),
      config_(std::move(config)),
      run_(std::move(run)),
      sinks_(std::move(sinks)),
      parameters_(objective.parameters()),
      adamw_(parameters_, {config_.beta1, config_.beta2, config_.eps, config_.weight_decay}),
      losses_(ranks),
      checkpoints_(run_.folder / "checkpoints", {field_values(config_), run_.setup, run_.environment},
                   checkpointed(parameters_, adamw_)) {
  config_.check(ranks.size());
}

RunState Trainer::run() {
  try {
    start();
    while (state_.step < config_.steps && !interrupted_) step();
    if (interrupted_) {
      if (saved_ != state_.step) save_checkpoint();
      throw Interrupted("interrupted after step {} of {}; the same command with --resume goes on from {}", state_.step,
                        config_.steps, newest_checkpoint());
    }
    save_model("adapter");
  } catch (const Stopped&) {
    throw;
  } catch (...) {
    save_after_error();
    throw;
  }
  return state_;
}

void Trainer::start() {
  std::optional<RunState> found;
  on_rank_0([&] {
    if (!run_.resume) return;
    found = checkpoints_.restore_newest();
    if (found && found->step > config_.steps)
      throw UsageError("[train] {}: {} steps are done already, more than the {} asked for", run_.folder.string(),
                       found->step, config_.steps);
    spdlog::info("{}", found ? fmt::format("resumed after step {}", found->step)
                             : "no checkpoint was written yet; the run begins anew");
  });
  const bool resumed = ranks_.any(found.has_value());
  if (resumed)
    state_ = RunState::from_json(Json::parse(broadcast_text(ranks_, found ? found->to_json().dump() : "")), "[train]");
  adamw_.set_updates(state_.updates);
  std::vector<at::Tensor> tensors;
  for (const auto& [name, tensor] : checkpointed(parameters_, adamw_)) tensors.push_back(tensor);
  broadcast_all(ranks_, tensors);
  saved_ = resumed ? state_.step : -1;
  tell_sinks([&](MetricsSink& sink) { sink.restart(resumed ? state_.step : -1); });
  whole_ = true;
  if (!resumed) state_.evaluation_due = valid_ != nullptr;
  const bool evaluates = state_.evaluation_due && valid_;
  if (evaluates && evaluate() && state_.step > 0) save_model("best");
  if (evaluates || !resumed) save_checkpoint();
}

void Trainer::step() {
  const Stopwatch clock;
  zero_gradients(parameters_);
  LossSums sums;
  if (!gather_gradients(sums)) return;
  const LossSum all = total(sums);
  const double rate = learning_rate(config_, state_.step);

  std::optional<double> norm;
  whole_ = false;
  if (all.tokens > 0 && std::isfinite(all.loss)) norm = update(all.tokens, rate);
  ++state_.step;
  bool diverged = false;
  if (norm) {
    for (const auto& [name, sum] : sums) state_.window[name] += sum;
    ++state_.updates;
    state_.tokens += all.tokens;
    state_.bad_in_a_row = 0;
    diverged = state_.watch.diverged(all.loss / static_cast<double>(all.tokens), config_.divergence_factor,
                                     config_.divergence_patience);
  } else if (all.tokens == 0) {
    ++state_.empty;
  } else {
    ++state_.skipped;
    ++state_.bad_in_a_row;
    if (ranks_.rank() == 0)
      spdlog::warn("step {} is left out: {} is not finite ({} so far)", state_.step,
                   std::isfinite(all.loss) ? "its gradient" : "its loss", state_.skipped);
  }
  whole_ = true;
  ++steps_here_;
  tokens_since_log_ += all.tokens;
  busy_ += clock.seconds();
  busy_since_log_ += clock.seconds();

  if (state_.bad_in_a_row >= config_.max_bad_steps)
    throw Stopped(
        fmt::format("[train] stopped at step {}: {} steps in a row had a loss or gradient that is not finite; "
                    "take a lower lr or --dtype f32 and go on from {} (--resume refuses another lr: begin anew)",
                    state_.step, state_.bad_in_a_row, newest_checkpoint()));
  if (diverged)
    throw Stopped(
        fmt::format("[train] stopped at step {}: the loss diverged: for {} steps it was above {} times its "
                    "best mean of {:.4g} (now {:.4g}); take a lower lr or a longer warmup; the newest "
                    "checkpoint is {}",
                    state_.step, state_.watch.above, config_.divergence_factor, *state_.watch.best,
                    all.loss / static_cast<double>(all.tokens), newest_checkpoint()));
  after_step(rate, norm);
}

bool Trainer::stop_together(const std::exception_ptr& failure, bool stopped, const std::string& where) {
  if (ranks_.any(failure != nullptr)) {
    if (failure) std::rethrow_exception(failure);
    throw ResourceError("[train] another rank failed in {}; its message says why", where);
  }
  const bool stops = ranks_.any(stopped);
  interrupted_ |= stops;
  return stops;
}

bool Trainer::gather_gradients(LossSums& sums) {
  std::exception_ptr failure;
  bool stopped = false;
  try {
    sums = accumulate();
  } catch (const Interrupted&) {
    stopped = true;
  } catch (...) {
    failure = std::current_exception();
  }
  if (stop_together(failure, stopped, fmt::format("step {}", state_.step + 1))) return false;
  sums = losses_.sum(sums);
  return true;
}

LossSums Trainer::accumulate() {
  const int64_t share = config_.batch / ranks_.size();
  const int64_t first = state_.step * config_.batch + ranks_.rank() * share;
  LossSums sums;
  for (int64_t done = 0; done < share; done += config_.micro_batch) {
    const auto examples = take(train_, first + done, std::min(config_.micro_batch, share - done), config_.seed);
    seed_generators(config_.seed, examples.front().sample);
    for (const auto& [name, sum] : objective_.accumulate(examples, config_.seed)) sums[name] += sum;
  }
  return sums;
}

std::optional<double> Trainer::update(int64_t tokens, double rate) {
  sum_gradients(ranks_, parameters_);
  // The sum over ranks is the same on all of them, and so is what follows.
  const double norm = gradient_norm(parameters_) / static_cast<double>(tokens);
  if (!std::isfinite(norm)) return {};
  double factor = 1 / static_cast<double>(tokens);
  if (config_.clip_norm > 0) factor *= std::min(1.0, config_.clip_norm / (norm + 1e-6));
  scale_gradients(parameters_, factor);
  adamw_.step(rate);
  return norm;
}

void Trainer::after_step(double rate, std::optional<double> norm) {
  const bool last = state_.step == config_.steps;
  const auto due = [&](int64_t every) { return every > 0 && state_.step % every == 0; };
  if (due(config_.log_every) || last) log(rate, norm);
  state_.evaluation_due = valid_ && (due(config_.eval_every) || last);
  const bool improved = state_.evaluation_due && evaluate();
  if (due(config_.sample_every) || (last && config_.sample_every > 0)) write_samples();
  interrupted_ = ranks_.any(interrupted_ || interrupted());
  // Before the checkpoint: a run that is killed between the two does both again.
  if (improved) save_model("best");
  if (improved || due(config_.save_every) || last || interrupted_) save_checkpoint();
}

void Trainer::log(double rate, std::optional<double> norm) {
  Scalars values;
  add_losses(values, "train", state_.window);
  values.emplace_back("lr", rate);
  if (norm) values.emplace_back("grad_norm", *norm);
  values.emplace_back("tokens", static_cast<double>(state_.tokens));
  values.emplace_back("skipped", static_cast<double>(state_.skipped));
  values.emplace_back("empty", static_cast<double>(state_.empty));
  if (busy_since_log_ > 0)
    values.emplace_back("tokens_per_s", static_cast<double>(tokens_since_log_) / busy_since_log_);
  values.emplace_back("rss_bytes", static_cast<double>(rss_bytes()));
  values.emplace_back("left_s",
                      busy_ / static_cast<double>(steps_here_) * static_cast<double>(config_.steps - state_.step));
  tell_sinks([&](MetricsSink& sink) { sink.scalars(state_.step, values); });
  state_.window.clear();
  tokens_since_log_ = 0;
  busy_since_log_ = 0;
}

bool Trainer::evaluate() {
  const int64_t count = config_.eval_examples > 0 ? std::min(config_.eval_examples, valid_->size()) : valid_->size();
  const int64_t begin = count * ranks_.rank() / ranks_.size(), end = count * (ranks_.rank() + 1) / ranks_.size();
  LossSums sums;
  std::exception_ptr failure;
  bool stopped = false;
  try {
    const at::NoGradGuard no_grad;
    for (int64_t i = begin; i < end && !stopped; i += config_.micro_batch) {
      const auto examples = take(*valid_, i, std::min(config_.micro_batch, end - i), config_.seed);
      seed_generators(config_.seed, examples.front().sample);
      for (const auto& [name, sum] : objective_.evaluate(examples, config_.seed)) sums[name] += sum;
      stopped = interrupted();
    }
  } catch (const Interrupted&) {
    stopped = true;
  } catch (...) {
    failure = std::current_exception();
  }
  if (stop_together(failure, stopped, "the evaluation")) return false;
  sums = losses_.sum(sums);
  state_.evaluation_due = false;
  Scalars values;
  add_losses(values, "valid", sums);
  tell_sinks([&](MetricsSink& sink) { sink.scalars(state_.step, values); });
  const LossSum all = total(sums);
  const double loss = all.loss / static_cast<double>(all.tokens);
  if (all.tokens == 0 || !std::isfinite(loss) || loss >= state_.best_loss.value_or(INFINITY)) return false;
  state_.best_loss = loss;
  state_.best_step = state_.step;
  return true;
}

void Trainer::write_samples() {
  on_rank_0([&] {
    const ExampleSource& source = valid_ ? *valid_ : train_;
    std::vector<TrainingSample> samples;
    try {
      const at::NoGradGuard no_grad;
      samples = objective_.write_samples(take(source, 0, std::min(config_.samples, source.size()), config_.seed));
    } catch (const Interrupted&) {
      return;  // the step is done; what is left is the checkpoint
    }
    for (size_t i = 0; i < samples.size(); ++i)
      for (MetricsSink* sink : sinks_)
        write("a sample output", [&] { sink->sample(state_.step, static_cast<int64_t>(i), samples[i]); });
  });
}

void Trainer::save_checkpoint() {
  saved_ = state_.step;
  tell_sinks([](MetricsSink& sink) { sink.flush(); });
  on_rank_0([&] {
    write(fmt::format("the checkpoint of step {}", state_.step), [&] {
      checkpoints_.save(state_);
      checkpoints_.prune(config_.keep, state_.best_step);
    });
  });
}

void Trainer::save_model(const std::string& name) {
  on_rank_0([&] {
    const auto save = [&] { objective_.save(run_.folder / name, provenance()); };
    // The adapter is what the run was for: without it the run did not succeed, whatever on_full_disk says.
    name == "adapter" ? write_or_stop((run_.folder / name).string(), save) : write((run_.folder / name).string(), save);
  });
}

void Trainer::save_after_error() noexcept {
  if (!whole_ || saved_ == state_.step || ranks_.rank() != 0) return;
  try {
    for (MetricsSink* sink : sinks_) sink->flush();
    checkpoints_.save(state_);
    spdlog::warn("a checkpoint of step {} was written before the end; the same command with --resume goes on from it",
                 state_.step);
  } catch (const std::exception& error) {
    spdlog::warn("no checkpoint of step {} could be written before the end: {}", state_.step, error.what());
  }
}

Json Trainer::provenance() const {
  return {{"steps", state_.step},
          {"samples", state_.step * config_.batch},
          {"tokens", state_.tokens},
          {"skipped", state_.skipped},
          {"best_loss", state_.best_loss ? Json(*state_.best_loss) : Json()},
          {"best_step", state_.best_step},
          {"config", field_values(config_)},
          {"setup", run_.setup},
          {"environment", run_.environment}};
}

std::string Trainer::newest_checkpoint() const {
  const auto steps = checkpoints_.steps();
  return steps.empty() ? "the beginning" : checkpoints_.path_of(steps.back()).string();
}

void Trainer::on_rank_0(const std::function<void()>& work) {
  std::exception_ptr failure;
  if (ranks_.rank() == 0) try {
      work();
    } catch (...) {
      failure = std::current_exception();
    }
  if (!ranks_.any(failure != nullptr)) return;
  if (failure) std::rethrow_exception(failure);
  throw ResourceError("[train] rank 0 cannot go on; its message says why");
}

void Trainer::tell_sinks(const std::function<void(MetricsSink&)>& what) {
  on_rank_0([&] {
    for (MetricsSink* sink : sinks_) write("metrics", [&] { what(*sink); });
  });
}

void Trainer::write(const std::string& what, const std::function<void()>& work) const {
  try {
    work();
  } catch (const ResourceError& error) {
    if (config_.on_full_disk == "stop") stop_without(what, error);
    spdlog::warn("{} could not be written ({}); the run goes on without it", what, error.what());
  }
}

void Trainer::write_or_stop(const std::string& what, const std::function<void()>& work) const {
  try {
    work();
  } catch (const ResourceError& error) {
    stop_without(what, error);
  }
}

void Trainer::stop_without(const std::string& what, const std::exception& error) const {
  throw ResourceError("[train] {} could not be written ({}); make room and go on with --resume from {}", what,
                      error.what(), newest_checkpoint());
}

}  // namespace steno
