// Speed and memory over lengths (evaluation.md, section 11). One item is one repeat, so that a run can be resumed and a
// median has an interval. Times mean something on an otherwise idle machine only.
#include <algorithm>

#include "base/error.h"
#include "base/process.h"
#include "base/random.h"
#include "eval/answer.h"

namespace steno {
namespace {

struct EfficiencyParams {
  std::string length = "512,2048,8192";
  int64_t turn = 32, decode = 64, warmups = 3, repeats = 10;

  template <class F>
  void visit(F&& f) {
    f("length", length, "tokens read before the turn, comma-separated");
    f("turn", turn, "tokens of the turn whose first answer token is waited for");
    f("decode", decode, "tokens decoded after it");
    f("warmups", warmups, "runs of each arm and length that are not counted");
    f("repeats", repeats, "runs that are");
  }
};

double median(std::vector<double> values) {
  const size_t half = values.size() / 2;
  std::nth_element(values.begin(), values.begin() + half, values.end());
  if (values.size() % 2 == 1) return values[half];
  return (values[half] + *std::max_element(values.begin(), values.begin() + half)) / 2;
}

constexpr const char* kLowerIsBetter[] = {"first_token_s", "bytes_per_source_token", "peak_rss_bytes"};

class EfficiencyRun : public TaskRun {
 public:
  EfficiencyRun(const TaskInput& input, const EfficiencyParams& params, std::vector<int64_t> lengths)
      : model_(input.model), params_(params), lengths_(std::move(lengths)) {
    const int64_t repeats = input.limit > 0 ? std::min(input.limit, params.repeats) : params.repeats;
    for (const int64_t length : lengths_)
      for (int64_t repeat = 0; repeat < repeats; ++repeat)
        items_.push_back({fmt::format("length={}/repeat={}", length, repeat), Json{{"length", length}}, cost(length)});
    const int64_t longest = *std::max_element(lengths_.begin(), lengths_.end());
    Random random(input.seed);
    for (int64_t i = 0; i < longest + params.turn; ++i)
      ids_.push_back(static_cast<TokenId>(random.below(static_cast<uint64_t>(model_->decoder->config().vocab))));
  }

  const std::vector<Item>& items() const override { return items_; }

  Json run(size_t item, const Arm& arm, const ItemProgress& progress) override {
    const int64_t length = items_[item].cell.at("length");
    if (warm_arm_ != arm.id || warm_length_ != length) {
      for (int64_t i = 0; i < params_.warmups; ++i) measure(arm, length, {});
      warm_arm_ = arm.id;
      warm_length_ = length;
    }
    return measure(arm, length, progress);
  }

  Json settings() const override {
    Json settings = field_values(params_);
    settings["text"] = "random ids, drawn by the seed";
    settings["peak_rss"] = reset_peak_rss()
                               ? "of the process from the start of the repeat; the model's mapped pages are in it"
                               : "of the process since its start: this system does not let it begin anew";
    settings["statistic"] = "median of the repeats";
    return settings;
  }
  std::string headline() const override { return "decode_tokens_per_s"; }

  Metrics metrics(const Lines& lines) const override {
    std::map<std::string, std::vector<double>> columns;
    for (const Json* line : lines)
      for (const auto& [name, value] : line->at("scores").items()) columns[name].push_back(value.get<double>());
    Metrics metrics;
    for (const auto& [name, values] : columns) {
      const bool less =
          std::find(std::begin(kLowerIsBetter), std::end(kLowerIsBetter), name) != std::end(kLowerIsBetter);
      metrics[name] = corpus_metric(
          values.size(),
          [&values = values](std::span<const size_t> drawn) {
            std::vector<double> chosen;
            for (const size_t i : drawn) chosen.push_back(values[i]);
            return median(std::move(chosen));
          },
          !less);
    }
    return metrics;
  }

 private:
  int64_t cost(int64_t length) const { return length + params_.turn + params_.decode; }

  Json measure(const Arm& arm, int64_t length, const ItemProgress& progress) const {
    reset_peak_rss();
    const auto ids = std::span(ids_);
    const auto stream = arm.open(model_->decoder);
    const Stopwatch reading;
    stream->feed(ids.first(static_cast<size_t>(length)), LogitRows::none, progress);
    const double read_s = reading.seconds();

    GenerateOptions options = greedy(params_.decode);
    options.stop_at_end_of_turn = false;
    const Generated g = generate(*stream, model_->tokenizer,
                                 ids.subspan(static_cast<size_t>(length), static_cast<size_t>(params_.turn)), options);
    if (g.reason == StopReason::interrupted) throw Interrupted("interrupted while decoding");
    const Accounting accounting = stream->accounting();
    return {{"scores",
             {{"read_tokens_per_s", static_cast<double>(length) / read_s},
              {"first_token_s", g.first_token_s},
              {"decode_tokens_per_s", g.decode_tokens_per_s()},
              {"bytes_per_source_token",
               static_cast<double>(accounting.memory_bytes) / static_cast<double>(accounting.source_tokens)},
              {"peak_rss_bytes", peak_rss_bytes()}}},
            {"accounting", accounting_json(accounting)},
            {"context_tokens", length},
            {"time",
             {{"read_s", read_s},
              {"read_tokens", length},
              {"first_token_s", g.first_token_s},
              {"decode_s", g.decode_s},
              {"decoded_tokens", g.decoded_tokens}}}};
  }

  std::shared_ptr<const Model> model_;
  EfficiencyParams params_;
  std::vector<int64_t> lengths_;
  std::vector<Item> items_;
  std::vector<TokenId> ids_;
  std::string warm_arm_;
  int64_t warm_length_ = -1;
};

class Efficiency : public Task {
 public:
  std::string name() const override { return "efficiency"; }
  std::string summary() const override { return "reading and decoding speed, first token, bytes, peak memory"; }
  std::vector<FieldInfo> parameters() const override { return list_fields(EfficiencyParams{}); }
  std::unique_ptr<TaskRun> prepare(const TaskInput& input) const override {
    EfficiencyParams params;
    set_fields("efficiency", params, input.params);
    auto lengths = parse_int_list("efficiency", "length", params.length);
    for (const int64_t length : lengths)
      if (length < 1) throw UsageError("[efficiency] length {} is too short; it is at least 1", length);
    if (params.turn < 1 || params.decode < 2 || params.repeats < 1 || params.warmups < 0)
      throw UsageError("[efficiency] turn and repeats must be at least 1, decode at least 2, warmups at least 0");
    return std::make_unique<EfficiencyRun>(input, params, std::move(lengths));
  }
};

}  // namespace

const Task* efficiency_task() {
  static const Efficiency task;
  return &task;
}

}  // namespace steno
