#include "eval/tasks/probes.h"

#include <cmath>

#include "base/error.h"
#include "eval/prompts/dialogue.h"
#include "eval/tasks/prompt_run.h"
#include "metrics/nltk_bleu.h"
#include "metrics/passkey_match.h"

namespace steno {
namespace {

constexpr int64_t kNewTokens = 24;
constexpr size_t kLongestTurn = 300;  // bytes; an age is a number of turns, and a monologue would blur it

class ProbeRun : public PromptRun {
 public:
  ProbeRun(const TaskInput& input, const ProbeParams& params) : PromptRun(input, "plain"), params_(params) {
    for (const DialogueRecord& record : input.data.records_of<DialogueRecord>("data", true)) add_texts(record);
    const int64_t trials = trials_per_cell("dialogue", params.trials, input.limit);
    for (const std::string& name : parse_name_list("dialogue", "probes", params.probes)) {
      const ProbeKind kind = probe_kind_named(name);
      const bool negative = kind == ProbeKind::negative;
      const ProbeSpec spec{
          .kind = kind, .age = params.other_age, .facts = 1, .answer_prefix = params.answer_prefix && !negative};
      if (kind == ProbeKind::recall || kind == ProbeKind::response) {
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
      } else if (kind == ProbeKind::utterance) {
        add(fmt::format("probe={}", name), {{"probe", name}}, spec, trials);
      } else {
        add(fmt::format("probe={}/age={}", name, spec.age), {{"probe", name}, {"age", spec.age}}, spec, trials);
      }
    }
  }

  Json settings() const override {
    Json settings = field_values(params_);
    settings["what"] = "probes";
    settings["template"] = "probes-1/plain";  // the texts of conversation.cpp, probes.cpp and repeats.cpp
    settings["max_new_tokens"] = "24; response and utterance: ceil(1.2 n) + 10";
    settings["stop"] = "\n";
    settings["filler_turns"] = texts_.turns.size();
    settings["filler_turns_too_long"] = too_long_;
    settings["decoding"] = "greedy";
    settings["metrics"] = {
        {"correct",
         "the first run of digits is the number asked for (update: the latest); negative: the answer says that it is "
         "unknown and holds no number; response, utterance: word for word"},
        {"stale", "the number before the update"},
        {"bleu4", "NLTK sentence BLEU-4, method1, words between spaces"},
        {"..._without_ends", "asked again without the slots of all utterance ends"},
        {"..._without_fact_end", "asked again without the slot of the fact's end"},
        {"..._from_end", "asked again without all slots of the utterance but that of its end"},
        {"drop_...", "what that cost of correct"}};
    return settings;
  }
  std::string headline() const override { return "correct"; }
  Metrics metrics(const Lines& lines) const override { return score_metrics(lines, {"stale"}); }

 protected:
  Asked build(size_t item) override {
    built_ = build_probe(encoder_, texts_, specs_[item], item_seed(item));
    int64_t longest = kNewTokens;
    if (repeats(item)) {
      const auto tokens = static_cast<double>(encoder_.text(" " + built_.prompt.references[0]).size());
      longest = static_cast<int64_t>(std::ceil(1.2 * tokens)) + 10;
    }
    return {built_.prompt, longest, {"\n"}};
  }
  std::vector<SlotRemoval> removals(size_t) const override { return built_.removals; }
  Json score(size_t item, const Arm&, const Asked& asked, const Generated& generated) override {
    if (repeats(item)) {
      const std::string text = strip(generated.text), &reference = asked.prompt.references[0];
      const Tokens words = split_spaces(reference);
      return {{"scores",
               {{"correct", text == strip(reference) ? 1 : 0},
                {"bleu4",
                 nltk_sentence_bleu({&words, 1}, split_spaces(text), cumulative_weights(4), NltkSmoothing::method1)}}}};
    }
    const bool negative = specs_[item].kind == ProbeKind::negative;
    const bool correct =
        negative ? says_unknown(generated.text) : matches_passkey(generated.text, asked.prompt.references[0]);
    Json scores = {{"correct", correct ? 1 : 0}};
    if (!built_.stale.empty()) scores["stale"] = matches_passkey(generated.text, built_.stale) ? 1 : 0;
    return {{"scores", std::move(scores)}};
  }

 private:
  bool repeats(size_t item) const {
    return specs_[item].kind == ProbeKind::response || specs_[item].kind == ProbeKind::utterance;
  }

  void add_texts(const DialogueRecord& record) {
    bool follows = false;  // the utterance before this one is the last of texts_
    for (const DialogueRecord::Utterance& u : record.utterances) {
      if (u.text.size() > kLongestTurn) {
        ++too_long_;
        follows = false;
        continue;
      }
      if (follows) texts_.pairs.push_back(texts_.turns.size() - 1);
      texts_.turns.push_back(dialogue_line({"", u.text}));
      follows = true;
    }
  }

  void add(const std::string& name, Json cell, const ProbeSpec& spec, int64_t trials) {
    for (int64_t trial = 0; trial < trials; ++trial) {
      const int64_t turns = spec.facts + spec.age * (spec.kind == ProbeKind::update ? 2 : 1);
      items_.push_back({fmt::format("{}/trial={}", name, trial), cell, 60 + turns * 20});
      specs_.push_back(spec);
    }
    build(items_.size() - 1);  // refuses before any work
  }

  ProbeParams params_;
  ProbeTexts texts_;
  int64_t too_long_ = 0;
  std::vector<ProbeSpec> specs_;
  ProbePrompt built_;  // of the present item
};

}  // namespace

std::unique_ptr<TaskRun> probe_run(const TaskInput& input, const ProbeParams& params) {
  return std::make_unique<ProbeRun>(input, params);
}

}  // namespace steno
