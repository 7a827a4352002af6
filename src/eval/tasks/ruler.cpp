// `ruler`: the thirteen kinds of RULER at given lengths (evaluation, section 7).
#include "eval/prompts/ruler.h"

#include <map>
#include <set>

#include "base/error.h"
#include "eval/tasks/prompt_run.h"
#include "metrics/string_match.h"

namespace steno {
namespace {

struct RulerParams {
  std::string length = "4096";
  std::string kinds = "all";
  int64_t trials = 20;
  std::string form = "plain";

  template <class F>
  void visit(F&& f) {
    f("length", length, "tokens of the prompt and of the answer, comma-separated");
    f("kinds", kinds, "all, or names such as niah_single_1,vt,cwe,fwe,qa_1, comma-separated");
    f("trials", trials, "prompts per kind and length (RULER: 500)");
    f("form", form, "plain, chat (the model's own format) or the name of a chat format");
  }
};

// A model's effective length is the longest at which its average exceeds this (Llama-2-7B's at 4K).
constexpr double kThreshold = 0.856;

std::vector<RulerKind> kinds_of(const std::string& text) {
  if (text == "all") return ruler_kinds();
  std::vector<RulerKind> kinds;
  for (const std::string& name : parse_name_list("ruler", "kinds", text)) kinds.push_back(ruler_kind_named(name));
  return kinds;
}

// Paragraphs stand between blank lines; single ones are a document each.
std::vector<std::string> paragraphs(const std::string& context) {
  std::vector<std::string> parts;
  for (size_t at = 0; at < context.size();) {
    const size_t end = std::min(context.find("\n\n", at), context.size());
    if (end > at) parts.push_back(context.substr(at, end - at));
    at = end + 2;
  }
  return parts;
}

// Questions of the sources whose name begins with `source`; equal documents are one.
void add_questions(RulerTexts& texts, const std::vector<QaRecord>& records, const std::string& source) {
  std::map<std::string, size_t> known;
  for (const QaRecord& record : records) {
    if (!record.source.starts_with(source) || record.answers.empty()) continue;
    RulerQuestion question{record.question, record.answers, {}};
    for (std::string& text : paragraphs(record.context)) {
      const auto [found, is_new] = known.emplace(text, texts.documents.size());
      if (is_new) texts.documents.push_back(std::move(text));
      question.documents.push_back(found->second);
    }
    texts.questions.push_back(std::move(question));
  }
}

class RulerRun : public PromptRun {
 public:
  RulerRun(const TaskInput& input, const RulerParams& params)
      : PromptRun(input, params.form), params_(params), kinds_(kinds_of(params.kinds)) {
    read_texts(input.data);
    const int64_t trials = trials_per_cell("ruler", params.trials, input.limit);
    for (const int64_t length : parse_positive_list("ruler", "length", params.length))
      for (size_t k = 0; k < kinds_.size(); ++k)
        for (int64_t trial = 0; trial < trials; ++trial) {
          items_.push_back({fmt::format("kind={}/length={}/trial={}", kinds_[k].name, length, trial),
                            {{"kind", kinds_[k].name}, {"length", length}},
                            length});
          plans_.push_back({k, length, trial});
          if (trial == 0) build(items_.size() - 1);  // refuses before any work
        }
  }

  Json settings() const override {
    Json settings = field_values(params_);
    settings["template"] = "steno-ruler-1/" + encoder_.id();
    settings["decoding"] = "greedy";
    settings["max_new_tokens"] = Json::object();
    for (const RulerKind& kind : kinds_) settings["max_new_tokens"][kind.name] = kind.new_tokens;
    settings["metrics"] =
        "match: share of the references that occur in the answer (string_match_all), for qa_1 and qa_2 whether any "
        "does (string_match_part); wavg_inc and wavg_dec weight the lengths 1, 2, ... and the other way round";
    return settings;
  }
  std::string headline() const override { return "match"; }

  // Averages over kinds weigh the same as over prompts: every kind has as many.
  Metrics metrics(const Lines& lines) const override {
    Metrics metrics = score_metrics(lines);
    std::map<int64_t, std::vector<double>> by_length;
    for (const Json* line : lines)
      by_length[line->at("cell").at("length").get<int64_t>()].push_back(line->at("scores").at("match").get<double>());
    if (by_length.size() < 2) return metrics;
    double increasing = 0, decreasing = 0, weights = 0, weight = 0;
    int64_t effective = 0;
    for (const auto& [length, values] : by_length) {
      const double average = mean_metric(values).mean;
      weights += ++weight;
      increasing += weight * average;
      decreasing += (static_cast<double>(by_length.size()) + 1 - weight) * average;
      if (average > kThreshold) effective = length;
    }
    const auto plain = [&](double value) {
      return Metric{.mean = value, .low = value, .high = value, .n = static_cast<int64_t>(lines.size())};
    };
    metrics["wavg_inc"] = plain(increasing / weights);
    metrics["wavg_dec"] = plain(decreasing / weights);
    metrics["effective_length"] = plain(static_cast<double>(effective));
    return metrics;
  }

 protected:
  Asked build(size_t item) override {
    const Plan& plan = plans_[item];
    const RulerKind& kind = kinds_[plan.kind];
    return {
        build_ruler(kind, encoder_, texts_.at(kind.qa), plan.length, plan.trial, item_seed(item)), kind.new_tokens, {}};
  }
  Json score(size_t item, const Arm&, const Asked& asked, const Generated& generated) override {
    const bool all = kinds_[plans_[item].kind].all;
    const double match = all ? string_match_all(generated.text, asked.prompt.references)
                             : string_match_part(generated.text, asked.prompt.references);
    return {{"scores", {{"match", match}}}};
  }

 private:
  struct Plan {
    size_t kind;
    int64_t length, trial;
  };

  void read_texts(DataFiles& data) {
    std::set<std::string> sources;
    bool essays = false;
    for (const RulerKind& kind : kinds_) {
      essays |= kind.essays;
      if (!kind.qa.empty()) sources.insert(kind.qa);
    }
    if (essays) essays_ = std::make_unique<Filler>(read_filler(data, "data"));
    texts_[""].essays = essays_.get();
    if (sources.empty()) return;
    const std::vector<QaRecord> records = data.records_of<QaRecord>("qa", true);
    for (const std::string& source : sources) add_questions(texts_[source], records, source);
  }

  RulerParams params_;
  std::vector<RulerKind> kinds_;
  std::unique_ptr<Filler> essays_;
  std::map<std::string, RulerTexts> texts_;  // by source of questions; "": for all other kinds
  std::vector<Plan> plans_;
};

class Ruler : public Task {
 public:
  std::string name() const override { return "ruler"; }
  std::string summary() const override { return "RULER's thirteen kinds: needles, tracking, aggregation, questions"; }
  std::vector<FieldInfo> parameters() const override { return list_fields(RulerParams{}); }
  std::vector<DataNeed> data() const override {
    return {{"data", "essays.jsonl.zst", "documents to hide needles in"},
            {"qa", "qa.valid.jsonl.zst", "questions of the sources squad (qa_1) and hotpotqa (qa_2)"}};
  }
  bool has_controls() const override { return true; }
  std::unique_ptr<TaskRun> prepare(const TaskInput& input) const override {
    RulerParams params;
    set_fields(name(), params, input.params);
    return std::make_unique<RulerRun>(input, params);
  }
};

}  // namespace

const Task* ruler_task() {
  static const Ruler task;
  return &task;
}

}  // namespace steno
