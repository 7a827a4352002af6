// `needle` and `multi-needle`: facts hidden in essays, over lengths and depths (evaluation, section 5).
#include "eval/prompts/needle.h"

#include "base/error.h"
#include "eval/tasks/prompt_run.h"
#include "metrics/string_match.h"

namespace steno {
namespace {

constexpr int64_t kNewTokens = 40;

// What both tasks ask for.
struct HaystackParams {
  std::string length = "1024,2048,4096";
  int64_t trials = 5;
  int64_t buffer = 200;
  bool answer_prefix = true;
  std::string form = "plain";

  template <class F>
  void visit(F&& f) {
    f("length", length, "tokens of the whole prompt, comma-separated");
    f("trials", trials, "prompts per cell");
    f("buffer", buffer, "tokens of the length that are left for question and answer");
    f("answer_prefix", answer_prefix, "the answer begins with the needle's words up to the value");
    f("form", form, "plain, chat (the model's own format) or the name of a chat format");
  }
};

struct NeedleParams : HaystackParams {
  std::string depth = "0,10,20,30,40,50,60,70,80,90,100";
  std::string needle = "random";

  template <class F>
  void visit(F&& f) {
    HaystackParams::visit(f);
    f("depth", depth, "where the needle stands, in percent of the haystack, comma-separated");
    f("needle", needle, "random (a name, an object, a number) or standard (the sandwich in Dolores Park)");
  }
};

struct MultiNeedleParams : HaystackParams {
  std::string kinds = "multi-key,multi-value,multi-query";
  std::string needles = "4";

  template <class F>
  void visit(F&& f) {
    HaystackParams::visit(f);
    f("kinds", kinds, "multi-key (one of several keys), multi-value (all values of one), multi-query (all keys)");
    f("needles", needles, "how many needles, 2 to 16, comma-separated");
  }
};

class NeedleRun : public PromptRun {
 public:
  NeedleRun(const TaskInput& input, const HaystackParams& params, Json settings)
      : PromptRun(input, params.form), settings_(std::move(settings)), haystack_(read_filler(input.data, "data")) {}

  void add(const std::string& name, Json cell, const NeedleSpec& spec, int64_t trials) {
    const bool is_new = specs_.empty() || specs_.back().length != spec.length || specs_.back().kind != spec.kind;
    for (int64_t trial = 0; trial < trials; ++trial) {
      items_.push_back({fmt::format("{}/trial={}", name, trial), cell, spec.length});
      specs_.push_back(spec);
    }
    if (is_new) build(items_.size() - 1);  // what makes no sense is refused before any work
  }

  Json settings() const override {
    Json settings = settings_;
    settings["template"] = "needle-1/" + encoder_.id();
    settings["haystack"] = haystack_.name();
    settings["max_new_tokens"] = kNewTokens;
    settings["stop"] = "\n";
    settings["decoding"] = "greedy";
    settings["metrics"] =
        "correct: all key words (values) occur in the answer as whole words; recall: share of the words that occur";
    return settings;
  }
  std::string headline() const override { return "correct"; }

 protected:
  Asked build(size_t item) override {
    built_ = build_needle(encoder_, haystack_, specs_[item], item_seed(item));
    return {built_.prompt, kNewTokens, {"\n"}};
  }
  Json score(size_t, const Arm&, const Asked&, const Generated& generated) override {
    const double all = keyword_recall(generated.text, built_.keywords);
    return {{"scores", {{"correct", all == 1 ? 1 : 0}, {"recall", keyword_recall(generated.text, built_.recall)}}}};
  }

 private:
  Json settings_;
  Filler haystack_;
  std::vector<NeedleSpec> specs_;
  NeedlePrompt built_;  // of the present item
};

const std::vector<DataNeed>& essays() {
  static const std::vector<DataNeed> needs = {{"data", "essays.jsonl.zst", "documents to hide needles in"}};
  return needs;
}

class Needle : public Task {
 public:
  std::string name() const override { return "needle"; }
  std::string summary() const override { return "a fact hidden in essays, by length and depth"; }
  std::vector<FieldInfo> parameters() const override { return list_fields(NeedleParams{}); }
  std::vector<DataNeed> data() const override { return essays(); }
  bool has_controls() const override { return true; }
  std::unique_ptr<TaskRun> prepare(const TaskInput& input) const override {
    NeedleParams params;
    set_fields(name(), params, input.params);
    if (params.needle != "random" && params.needle != "standard")
      throw UsageError("[needle] needle is '{}'; it is random or standard", params.needle);
    const int64_t trials = trials_per_cell(name(), params.trials, input.limit);
    auto run = std::make_unique<NeedleRun>(input, params, field_values(params));
    for (const int64_t length : parse_positive_list(name(), "length", params.length))
      for (const int64_t depth : parse_positive_list(name(), "depth", params.depth, 0))
        run->add(fmt::format("length={}/depth={}", length, depth), {{"length", length}, {"depth", depth}},
                 {.length = length,
                  .depth = static_cast<double>(depth),
                  .buffer = params.buffer,
                  .standard = params.needle == "standard",
                  .answer_prefix = params.answer_prefix},
                 trials);
    return run;
  }
};

class MultiNeedle : public Task {
 public:
  std::string name() const override { return "multi-needle"; }
  std::string summary() const override { return "several facts hidden in essays, one or all asked for"; }
  std::vector<FieldInfo> parameters() const override { return list_fields(MultiNeedleParams{}); }
  std::vector<DataNeed> data() const override { return essays(); }
  bool has_controls() const override { return true; }
  std::unique_ptr<TaskRun> prepare(const TaskInput& input) const override {
    MultiNeedleParams params;
    set_fields(name(), params, input.params);
    const int64_t trials = trials_per_cell(name(), params.trials, input.limit);
    auto run = std::make_unique<NeedleRun>(input, params, field_values(params));
    for (const std::string& kind : parse_name_list(name(), "kinds", params.kinds))
      for (const int64_t length : parse_positive_list(name(), "length", params.length))
        for (const int64_t needles : parse_positive_list(name(), "needles", params.needles, 2))
          run->add(fmt::format("kind={}/length={}/needles={}", kind, length, needles),
                   {{"kind", kind}, {"length", length}, {"needles", needles}},
                   {.length = length,
                    .buffer = params.buffer,
                    .answer_prefix = params.answer_prefix,
                    .kind = needle_kind_named(kind),
                    .needles = needles},
                   trials);
    return run;
  }
};

}  // namespace

const Task* needle_task() {
  static const Needle task;
  return &task;
}

const Task* multi_needle_task() {
  static const MultiNeedle task;
  return &task;
}

}  // namespace steno
