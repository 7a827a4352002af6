// `dialogue`: replies to real dialogues (evaluation, section 2), and with what=probes the memory probes of section 10.
#include "eval/prompts/dialogue.h"

#include "base/error.h"
#include "eval/tasks/probes.h"
#include "eval/tasks/prompt_run.h"
#include "metrics/bleu.h"
#include "metrics/distinct.h"
#include "metrics/nltk_bleu.h"
#include "metrics/repetition.h"
#include "metrics/rouge.h"

namespace steno {
namespace {

struct DialogueParams : ProbeParams {
  std::string what = "replies";
  std::string turns = "last";
  int64_t max_new_tokens = 60;

  template <class F>
  void visit(F&& f) {
    f("what", what, "replies, or probes (facts to be remembered over filler turns)");
    f("turns", turns, "replies: last (one a dialogue), or all from the third on");
    f("max_new_tokens", max_new_tokens, "replies: longest reply");
    ProbeParams::visit(f);
  }
};

std::vector<Turn> turns_of(const DialogueRecord& record) {
  std::vector<Turn> turns;
  for (const DialogueRecord::Utterance& u : record.utterances) turns.push_back({u.speaker, u.text});
  return turns;
}

double nltk_bleu(const Tokens& reference, const Tokens& reply, int k) {
  return nltk_sentence_bleu({&reference, 1}, reply, cumulative_weights(k), NltkSmoothing::method1);
}

// Replies that share a dialogue are drawn together by the bootstrap.
Metrics add_corpus_figures(Metrics metrics, const Lines& lines) {
  const std::vector<size_t> group_of = line_clusters(lines);
  const size_t groups = *std::max_element(group_of.begin(), group_of.end()) + 1;
  std::vector<BleuStats> by_group(groups, BleuStats{.matches = {0, 0, 0, 0}, .totals = {0, 0, 0, 0}});
  std::vector<Tokens> replies;
  for (size_t i = 0; i < lines.size(); ++i) {
    const auto reply = lines[i]->at("prediction").get<std::string>();
    const auto references = lines[i]->at("references").get<std::vector<std::string>>();
    by_group[group_of[i]] += bleu_stats(reply, references);
    replies.push_back(split_spaces(reply));
  }
  metrics["bleu"] = corpus_metric(groups, [&](std::span<const size_t> drawn) {
    BleuStats sum{.matches = {0, 0, 0, 0}, .totals = {0, 0, 0, 0}};
    for (const size_t group : drawn) sum += by_group[group];
    return bleu_from_stats(sum).score;
  });
  // No interval: drawing replies twice would make a set look less varied than it is.
  for (size_t n = 1; n <= 3; ++n) {
    const double share = distinct_ngrams<std::string>(replies, n).share();
    metrics[fmt::format("distinct{}", n)] = {
        .mean = share, .low = share, .high = share, .n = static_cast<int64_t>(replies.size())};
  }
  return metrics;
}

class ReplyRun : public TaskRun {
 public:
  ReplyRun(const TaskInput& input, const DialogueParams& params)
      : params_(params), model_(input.model), encoder_(model_->tokenizer, "plain") {
    for (const DialogueRecord& record : input.data.records_of<DialogueRecord>("data")) add(record);
    if (items_.empty()) throw InputError("[dialogue] no dialogue has a reply to write: all have too few utterances");
  }

  const std::vector<Item>& items() const override { return items_; }

  Json run(size_t item, const Arm& arm, const ItemProgress& progress) override {
    const Place& place = places_[item];
    const BuiltPrompt prompt = build_reply(encoder_, dialogues_[place.dialogue], place.turn);
    Answerer answerer(model_, greedy(params_.max_new_tokens, {"\n"}));
    Answer answer = answerer.answer(arm, to_prompt(prompt, encoder_), progress);
    const std::string reply = strip(answer.generated.text);
    const Tokens reference_words = split_spaces(prompt.references[0]), words = split_spaces(reply);
    Json scores = {{"rouge_l", score_rouge(reply, prompt.references).rouge_l.f1},
                   {"words", words.size()},
                   {"ended", answer.generated.reason != StopReason::length ? 1 : 0},
                   {"repetition", repetition_rate(words)}};
    for (const int k : {1, 2, 4}) scores[fmt::format("nltk_bleu{}", k)] = nltk_bleu(reference_words, words, k);
    Json line = {{"cluster", ids_[place.dialogue]},
                 {"scores", std::move(scores)},
                 {"turn", place.turn + 1},
                 {"question", prompt.question},
                 {"references", prompt.references}};
    line.update(answer.line);
    line["prediction"] = reply;
    return line;
  }

  Json settings() const override {
    Json settings = {{"what", params_.what}, {"turns", params_.turns}, {"max_new_tokens", params_.max_new_tokens}};
    settings["template"] = "dialogue-1/plain";
    settings["stop"] = "\n";
    settings["too_short"] = too_short_;
    settings["decoding"] = "greedy";
    settings["metrics"] = {{"bleu", "corpus, " + bleu_signature({})},
                           {"nltk_bleu1", "cumulative to 1, 2, 4; sentence, method1, words between spaces, mean"},
                           {"rouge_l", "rouge_score rougeL F1, stemmed"},
                           {"distinct1", "corpus, n = 1, 2, 3, words between spaces"},
                           {"repetition", "share of 4-grams of a reply that stood in it before"},
                           {"ended", "share of replies that ended before max_new_tokens"}};
    return settings;
  }
  std::string headline() const override { return "nltk_bleu4"; }

  Metrics metrics(const Lines& lines) const override {
    return add_corpus_figures(score_metrics(lines, {"repetition"}), lines);
  }

 private:
  struct Place {
    size_t dialogue, turn;
  };

  void add(const DialogueRecord& record) {
    std::vector<Turn> turns = turns_of(record);
    const size_t first = params_.turns == "all" ? 2 : std::max<size_t>(turns.size(), 2) - 1;
    if (first >= turns.size()) {
      ++too_short_;
      return;
    }
    int64_t bytes = 0;
    Json cell = Json::object();
    if (!record.source.empty()) cell["source"] = record.source;
    for (size_t turn = 0; turn < turns.size(); ++turn) {
      if (turn >= first) {
        items_.push_back({fmt::format("{}/turn={}", record.id, turn + 1), cell, bytes / 4 + params_.max_new_tokens});
        places_.push_back({dialogues_.size(), turn});
      }
      bytes += static_cast<int64_t>(turns[turn].text.size() + turns[turn].speaker.size()) + 3;
    }
    ids_.push_back(record.id);
    dialogues_.push_back(std::move(turns));
  }

  DialogueParams params_;
  std::shared_ptr<const Model> model_;
  PromptEncoder encoder_;
  std::vector<Item> items_;
  std::vector<Place> places_;
  std::vector<std::vector<Turn>> dialogues_;
  std::vector<std::string> ids_;
  int64_t too_short_ = 0;
};

class Dialogue : public Task {
 public:
  std::string name() const override { return "dialogue"; }
  std::string summary() const override { return "replies to dialogues, or probes of what is remembered of them"; }
  std::vector<FieldInfo> parameters() const override { return list_fields(DialogueParams{}); }
  std::vector<DataNeed> data() const override {
    return {{"data", "dialogue.valid.jsonl.zst", "dialogues to reply to, or to take filler turns from"}};
  }
  bool has_controls() const override { return true; }
  std::unique_ptr<TaskRun> prepare(const TaskInput& input) const override {
    DialogueParams params;
    set_fields(name(), params, input.params);
    if (params.what == "probes") return probe_run(input, params);
    if (params.what != "replies") throw UsageError("[dialogue] what is '{}'; it is replies or probes", params.what);
    if (params.turns != "last" && params.turns != "all")
      throw UsageError("[dialogue] turns is '{}'; it is last or all", params.turns);
    if (params.max_new_tokens < 1) throw UsageError("[dialogue] max_new_tokens must be at least 1");
    return std::make_unique<ReplyRun>(input, params);
  }
};

}  // namespace

const Task* dialogue_task() {
  static const Dialogue task;
  return &task;
}

}  // namespace steno
