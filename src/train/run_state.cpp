#include "train/run_state.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace steno {
namespace {

constexpr double kShareOfNews = 0.05;  // of one step in the exponential mean
constexpr int64_t kStepsOfMean = 20;   // before them the mean is a few batches' luck
constexpr double kSmallestBest = 0.5;  // nats per token

Json optional_json(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

std::optional<double> optional_value(const Json& json) {
  return json.is_null() ? std::nullopt : std::optional(json.get<double>());
}

}  // namespace

bool LossWatch::diverged(double loss, double factor, int64_t patience) {
  if (best && factor > 0 && loss > factor * std::max(*best, kSmallestBest)) {
    if (++above >= patience) return true;
  } else {
    above = 0;
  }
  sum += kShareOfNews * (loss - sum);
  weight += kShareOfNews * (1 - weight);
  if (++seen >= kStepsOfMean) best = std::min(best.value_or(sum / weight), sum / weight);
  return false;
}

LossSum total(const LossSums& sums) {
  LossSum all;
  for (const auto& [name, sum] : sums) all += sum;
  return all;
}

Json RunState::to_json() const {
  Json losses = Json::object();
  for (const auto& [name, sum] : window)
    losses[name] = {{"loss", sum.loss}, {"tokens", sum.tokens}, {"examples", sum.examples}};
  return {{"step", step},
          {"updates", updates},
          {"tokens", tokens},
          {"skipped", skipped},
          {"empty", empty},
          {"bad_in_a_row", bad_in_a_row},
          {"window", losses},
          {"watch",
           {{"sum", watch.sum},
            {"weight", watch.weight},
            {"seen", watch.seen},
            {"best", optional_json(watch.best)},
            {"above", watch.above}}},
          {"best_loss", optional_json(best_loss)},
          {"best_step", best_step},
          {"evaluation_due", evaluation_due}};
}

RunState RunState::from_json(const Json& json, const std::string& where) try {
  RunState state;
  json.at("step").get_to(state.step);
  json.at("updates").get_to(state.updates);
  json.at("tokens").get_to(state.tokens);
  json.at("skipped").get_to(state.skipped);
  json.at("empty").get_to(state.empty);
  json.at("bad_in_a_row").get_to(state.bad_in_a_row);
  for (const auto& [name, sum] : json.at("window").items())
    state.window[name] = {sum.at("loss").get<double>(), sum.at("tokens").get<int64_t>(),
                          sum.at("examples").get<int64_t>()};
  const Json& watch = json.at("watch");
  watch.at("sum").get_to(state.watch.sum);
  watch.at("weight").get_to(state.watch.weight);
  watch.at("seen").get_to(state.watch.seen);
  state.watch.best = optional_value(watch.at("best"));
  watch.at("above").get_to(state.watch.above);
  state.best_loss = optional_value(json.at("best_loss"));
  json.at("best_step").get_to(state.best_step);
  json.at("evaluation_due").get_to(state.evaluation_due);
  if (state.step < 0 || state.updates < 0 || state.updates > state.step)
    throw InputError("{}: {} updates in {} steps cannot be", where, state.updates, state.step);
  return state;
} catch (const Json::exception& error) {
  throw InputError("{}: no state of a training run ({})", where, error.what());
}

}  // namespace steno
