// `passkey`: a number hidden in filler, over lengths and depths (evaluation, section 4).
#include "eval/prompts/passkey.h"

#include "base/error.h"
#include "eval/tasks/prompt_run.h"
#include "metrics/passkey_match.h"

namespace steno {
namespace {

struct PasskeyParams {
  std::string length = "1024,2048,4096";
  std::string depth = "0,10,20,30,40,50,60,70,80,90,100";
  int64_t trials = 20;
  std::string filler = "repeated";
  int64_t digits = 0;
  int64_t distractors = 0;
  int64_t turn_tokens = 0;
  std::string form = "plain";

  template <class F>
  void visit(F&& f) {
    f("length", length, "tokens of the whole prompt, comma-separated");
    f("depth", depth, "where the key stands, in percent of the filler, comma-separated");
    f("trials", trials, "keys per length and depth");
    f("filler", filler, "repeated (five short sentences) or natural (the data file's documents)");
    f("digits", digits, "digits of the key; 0: a number from 1 to 50000");
    f("distractors", distractors, "keys under other labels that stand in the filler too");
    f("turn_tokens", turn_tokens,
      "the filler stands in turns of about so many tokens, the key is one; 0: running text");
    f("form", form, "plain, chat (the model's own format) or the name of a chat format");
  }
};

constexpr int64_t kNewTokens = 10;

class PasskeyRun : public PromptRun {
 public:
  PasskeyRun(const TaskInput& input, const PasskeyParams& params)
      : PromptRun(input, params.form),
        params_(params),
        filler_(params.filler == "repeated" ? Filler::repeated() : read_filler(input.data, "data")) {
    const int64_t trials = trials_per_cell("passkey", params.trials, input.limit);
    for (const int64_t length : parse_positive_list("passkey", "length", params.length))
      for (const int64_t depth : parse_positive_list("passkey", "depth", params.depth, 0))
        for (int64_t trial = 0; trial < trials; ++trial) {
          items_.push_back({fmt::format("length={}/depth={}/trial={}", length, depth, trial),
                            {{"length", length}, {"depth", depth}},
                            length + kNewTokens});
          specs_.push_back({.length = length,
                            .depth = static_cast<double>(depth),
                            .digits = params.digits,
                            .distractors = params.distractors,
                            .turn_tokens = params.turn_tokens});
        }
    // What makes no sense is refused before any work.
    for (size_t i = 0; i < items_.size(); ++i)
      if (i == 0 || specs_[i].length != specs_[i - 1].length) build(i);
  }

  Json settings() const override {
    Json settings = field_values(params_);
    settings["template"] = "passkey-1/" + encoder_.id();
    settings["filler"] = filler_.name();
    settings["max_new_tokens"] = kNewTokens;
    settings["decoding"] = "greedy";
    settings["metrics"] =
        "correct: the first run of digits equals the key; exact_tokens: the first ids are those of the key";
    return settings;
  }
  std::string headline() const override { return "correct"; }

  Metrics metrics(const Lines& lines) const override {
    Metrics metrics = score_metrics(lines);
    std::map<std::string, std::vector<double>> cells;
    for (const Json* line : lines)
      cells[line->at("cell").dump()].push_back(line->at("scores").at("correct").get<double>());
    if (cells.size() < 2) return metrics;
    Metric worst{.mean = 1};
    for (const auto& [cell, values] : cells) {
      const Metric metric = mean_metric(values);
      if (metric.mean <= worst.mean) worst = metric;
    }
    metrics["worst_cell"] = worst;
    return metrics;
  }

 protected:
  Asked build(size_t item) override {
    return {build_passkey(encoder_, filler_, specs_[item], item_seed(item)), kNewTokens, {}};
  }
  Json score(size_t, const Arm&, const Asked& asked, const Generated& generated) override {
    const std::string& key = asked.prompt.references[0];
    const std::vector<TokenId> ids =
        encoder_.continuation(asked.prompt.question + asked.prompt.answer_prefix, " " + key);
    const bool exact =
        generated.tokens.size() >= ids.size() && std::equal(ids.begin(), ids.end(), generated.tokens.begin());
    return {{"scores", {{"correct", matches_passkey(generated.text, key) ? 1 : 0}, {"exact_tokens", exact ? 1 : 0}}}};
  }

 private:
  PasskeyParams params_;
  Filler filler_;
  std::vector<PasskeySpec> specs_;
};

class Passkey : public Task {
 public:
  std::string name() const override { return "passkey"; }
  std::string summary() const override { return "a number hidden in filler, by length and depth"; }
  std::vector<FieldInfo> parameters() const override { return list_fields(PasskeyParams{}); }
  std::vector<DataNeed> data() const override { return {{"data", "essays.jsonl.zst", "documents for filler=natural"}}; }
  bool has_controls() const override { return true; }
  std::unique_ptr<TaskRun> prepare(const TaskInput& input) const override {
    PasskeyParams params;
    set_fields(name(), params, input.params);
    if (params.filler != "repeated" && params.filler != "natural")
      throw UsageError("[passkey] filler is '{}'; it is repeated or natural", params.filler);
    return std::make_unique<PasskeyRun>(input, params);
  }
};

}  // namespace

const Task* passkey_task() {
  static const Passkey task;
  return &task;
}

}  // namespace steno
