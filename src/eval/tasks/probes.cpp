#include "eval/tasks/probes.h"

#include "base/error.h"
#include "eval/prompts/dialogue.h"
#include "eval/tasks/prompt_run.h"
#include "metrics/passkey_match.h"

namespace steno {
namespace {

constexpr int64_t kNewTokens = 24;
constexpr size_t kLongestTurn = 300;  // bytes; an age is a number of turns, and a monologue would blur it

class ProbeRun : public PromptRun {
 public:
  ProbeRun(const TaskInput& input, const ProbeParams& params) : PromptRun(input, "plain"), params_(params) {
    for (const DialogueRecord& record : input.data.records_of<DialogueRecord>("data", true))
      for (const DialogueRecord::Utterance& u : record.utterances) {
        if (u.text.size() <= kLongestTurn)
          filler_.push_back(u.text);
        else
          ++too_long_;
      }
    const int64_t trials = trials_per_cell("dialogue", params.trials, input.limit);
    for (const std::string& name : parse_name_list("dialogue", "probes", params.probes)) {
      const ProbeKind kind = probe_kind_named(name);
      const bool negative = kind == ProbeKind::negative;
      const ProbeSpec spec{
          .kind = kind, .age = params.other_age, .facts = 1, .answer_prefix = params.answer_prefix && !negative};
      if (kind == ProbeKind::recall) {
        for (const int64_t age : parse_positive_list("dialogue", "ages", params.ages, 0)) {
          ProbeSpec aged = spec;
          aged.age = age;
          add(fmt::format("probe={}/age={}", name, age), {{"probe", name}, {"age", age}}, aged, trials);
        }
      } else if (kind == ProbeKind::multi) {
        for (const int64_t facts : parse_positive_list("dialogue", "facts", params.facts)) {
          ProbeSpec several = spec;
          several.facts = facts;
          add(fmt::format("probe={}/age={}/facts={}", name, spec.age, facts),
              {{"probe", name}, {"age", spec.age}, {"facts", facts}}, several, trials);
        }
      } else {
        add(fmt::format("probe={}/age={}", name, spec.age), {{"probe", name}, {"age", spec.age}}, spec, trials);
      }
    }
  }

  Json settings() const override {
    Json settings = field_values(params_);
    settings["what"] = "probes";
    settings["template"] = "probes-1/plain";
    settings["max_new_tokens"] = kNewTokens;
    settings["stop"] = "\n";
    settings["filler_turns"] = filler_.size();
    settings["filler_turns_too_long"] = too_long_;
    settings["decoding"] = "greedy";
    settings["metrics"] =
        "correct: the first run of digits is the number asked for (update: the latest), negative: the answer says that "
        "it is unknown and holds no number; stale: the number before the update";
    return settings;
  }
  std::string headline() const override { return "correct"; }
  Metrics metrics(const Lines& lines) const override { return score_metrics(lines, {"stale"}); }

 protected:
  Asked build(size_t item) override {
    built_ = build_probe(encoder_, filler_, specs_[item], item_seed(item));
    return {built_.prompt, kNewTokens, {"\n"}};
  }
  Json score(size_t item, const Arm&, const Asked& asked, const Generated& generated) override {
    const bool negative = specs_[item].kind == ProbeKind::negative;
    const bool correct =
        negative ? says_unknown(generated.text) : matches_passkey(generated.text, asked.prompt.references[0]);
    Json scores = {{"correct", correct ? 1 : 0}};
    if (!built_.stale.empty()) scores["stale"] = matches_passkey(generated.text, built_.stale) ? 1 : 0;
    return {{"scores", std::move(scores)}};
  }

 private:
  void add(const std::string& name, Json cell, const ProbeSpec& spec, int64_t trials) {
    for (int64_t trial = 0; trial < trials; ++trial) {
      const int64_t turns = spec.facts + spec.age * (spec.kind == ProbeKind::update ? 2 : 1);
      items_.push_back({fmt::format("{}/trial={}", name, trial), cell, 60 + turns * 20});
      specs_.push_back(spec);
    }
    build(items_.size() - 1);  // refuses before any work
  }

  ProbeParams params_;
  std::vector<std::string> filler_;
  int64_t too_long_ = 0;
  std::vector<ProbeSpec> specs_;
  ProbePrompt built_;  // of the present item
};

}  // namespace

std::unique_ptr<TaskRun> probe_run(const TaskInput& input, const ProbeParams& params) {
  return std::make_unique<ProbeRun>(input, params);
}

}  // namespace steno
