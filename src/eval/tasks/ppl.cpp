#include "eval/tasks/ppl.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/process.h"
#include "eval/answer.h"
#include "eval/nll.h"

namespace steno {
namespace {

void cut(ScoredText& text, int64_t length) {
  const auto count = static_cast<int64_t>(text.ids.size());
  if (length == 0 || count <= length) return;
  text.cut_tokens = count - length;
  text.ids.resize(static_cast<size_t>(length));
  std::erase_if(text.utterance_ends, [&](int64_t end) { return end > length; });
  std::erase_if(text.session_starts, [&](int64_t start) { return start >= length; });
}

void begin(ScoredText& text, const Tokenizer& tokenizer, const PplParams& params) {
  if (params.bos && tokenizer.bos()) text.ids.push_back(*tokenizer.bos());
}

int64_t count_characters(std::string_view utf8) {
  return std::count_if(utf8.begin(), utf8.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

// Sums by bin, in the order of the bins.
class Bins {
 public:
  void add(int64_t bin, double nll) {
    auto& [sum, tokens] = bins_[bin];
    sum += nll;
    ++tokens;
  }
  Json json() const {
    Json list = Json::array();
    for (const auto& [bin, sum] : bins_) list.push_back(Json::array({bin, sum.first, sum.second}));
    return list;
  }

 private:
  std::map<int64_t, std::pair<double, int64_t>> bins_;
};

struct Sums {
  double nll = 0, tokens = 0;
  void add(double value) { nll += value, ++tokens; }
};

// exp(sum nll / sum tokens), drawn by item.
Metric micro(const std::vector<Sums>& items) {
  return corpus_metric(
      items.size(),
      [&](std::span<const size_t> drawn) {
        Sums all;
        for (const size_t i : drawn) all.nll += items[i].nll, all.tokens += items[i].tokens;
        return std::exp(all.nll / all.tokens);
      },
      false);
}

double number(const Json& line, const char* name) { return line.at(name).get<double>(); }

class PplRun : public TaskRun {
 public:
  PplRun(const TaskInput& input, const PplParams& params)
      : model_(input.model), params_(params), end_(utterance_end(*model_->tokenizer, params.eou)) {
    for (Record& record : input.data.records("data")) {
      if (auto* document = std::get_if<DocumentRecord>(&record)) {
        add(document->id, document->source, scored_document(*model_->tokenizer, document->text, params_));
        documents_ = true;
      } else if (auto* dialogue = std::get_if<DialogueRecord>(&record)) {
        add_dialogue(*dialogue);
        dialogues_ = true;
      } else {
        throw InputError(
            "[eval] ppl: the data holds questions; it takes documents ('text') or dialogues ('utterances')");
      }
    }
    if (documents_ && params_.join > 0)
      throw UsageError("[ppl] join is about dialogues, and the data holds documents; leave it out");
    if (params_.context > 0)
      for (ScoredText& text : texts_) text.first_scored = std::max(text.first_scored, params_.context + 1);
    size_t longest = 0;
    for (const ScoredText& text : texts_) longest = std::max(longest, text.ids.size());
    step_ = running_step(static_cast<int64_t>(longest));
  }

  const std::vector<Item>& items() const override { return items_; }

  Json run(size_t item, const Arm& arm, const ItemProgress& progress) override {
    const ScoredText& text = texts_[item];
    if (static_cast<int64_t>(text.ids.size()) <= text.first_scored)
      return {{"skipped", "no token to score"}, {"cut_tokens", text.cut_tokens}};
    const auto stream = arm.open(model_->decoder);
    const Stopwatch clock;
    const auto nll = read_nll(*stream, *arm.method, text.ids, text.utterance_ends, progress, params_.context);
    Json line = ppl_line(text, end_, nll, *model_->tokenizer, step_);
    if (params_.join > 0) line["dialogues"] = text.joined_at.size() + 1;
    line["time"] = {{"read_s", clock.seconds()}, {"read_tokens", text.ids.size()}};
    line["accounting"] = accounting_json(stream->accounting());
    return line;
  }

  Json settings() const override {
    Json settings = field_values(params_);
    const bool bos = params_.bos && model_->tokenizer->bos();
    settings["begins_with"] = bos ? Json(std::string(model_->tokenizer->token(*model_->tokenizer->bos()))) : Json();
    settings["eou_ids"] = end_.ids;
    settings["scored"] =
        dialogues_ ? "documents: all after BOS; dialogues: all but BOS and the first utterance" : "all after BOS";
    if (params_.join > 0)
      settings["joined"] = "without BOS between dialogues; of the first one the first utterance is not scored";
    settings["running_step"] = step_;
    return settings;
  }

  std::string headline() const override { return "ppl"; }
  Metrics metrics(const Lines& lines) const override { return ppl_metrics(lines); }

  std::vector<Cell> cells(const Lines& lines) const override {
    std::vector<Cell> cells = TaskRun::cells(lines);
    for (const auto& [key, name] : {std::pair{"by_position", "position"},
                                    {"by_utterance", "utterance"},
                                    {"by_session", "session"},
                                    {"running", "tokens read"}}) {
      std::map<int64_t, std::vector<Sums>> bins;
      for (const Json* line : lines)
        for (const Json& bin : line->value(key, Json::array())) bins[bin[0].get<int64_t>()].push_back({bin[1], bin[2]});
      for (const auto& [bin, sums] : bins)
        cells.push_back({Json{{name, bin}}, static_cast<int64_t>(sums.size()), {{"ppl", micro(sums)}}});
    }
    return cells;
  }

 private:
  void add_dialogue(const DialogueRecord& dialogue) {
    PplParams params = params_;
    const bool joins =
        params_.join > 0 && !texts_.empty() && static_cast<int64_t>(texts_.back().ids.size()) < params_.join;
    params.bos &= !joins;
    const ScoredText text = scored_dialogue(*model_->tokenizer, dialogue, end_, params);
    if (!joins) return add(dialogue.id, dialogue.source, text);
    join_dialogue(texts_.back(), text);
    items_.back().tokens = static_cast<int64_t>(texts_.back().ids.size());
    if (items_.back().cell.value("source", "") != dialogue.source) items_.back().cell = Json::object();
  }

  void add(const std::string& id, const std::string& source, ScoredText text) {
    Json cell = Json::object();
    if (!source.empty()) cell["source"] = source;
    items_.push_back({id, std::move(cell), static_cast<int64_t>(text.ids.size())});
    texts_.push_back(std::move(text));
  }

  std::shared_ptr<const Model> model_;
  PplParams params_;
  UtteranceEnd end_;
  bool dialogues_ = false, documents_ = false;
  int64_t step_ = 0;  // between the points of running curves
  std::vector<Item> items_;
  std::vector<ScoredText> texts_;
};

class Ppl : public Task {
 public:
  std::string name() const override { return "ppl"; }
  std::string summary() const override { return "perplexity of documents, novels and dialogues"; }
  std::vector<FieldInfo> parameters() const override { return list_fields(PplParams{}); }
  std::vector<DataNeed> data() const override { return {{"data", "books.eval.jsonl.zst", "documents or dialogues"}}; }
  std::unique_ptr<TaskRun> prepare(const TaskInput& input) const override {
    PplParams params;
    set_fields("ppl", params, input.params);
    if (params.length != 0 && params.length < 2)
      throw UsageError("[ppl] length is {}; it is 0 (the whole text) or at least 2", params.length);
    if (params.context < 0 || (params.length != 0 && params.join == 0 && params.context > params.length - 2))
      throw UsageError("[ppl] context is {} of {} tokens; it must be 0 or more, and leave two", params.context,
                       params.length);
    return std::make_unique<PplRun>(input, params);
  }
};

}  // namespace

int64_t position_bin(int64_t position) {
  int64_t bin = 256;
  if (position < bin) return 0;
  while (bin * 2 <= position) bin *= 2;
  return bin;
}

int64_t running_step(int64_t longest) {
  int64_t step = 256;
  while (longest > 64 * step) step *= 2;
  return step;
}

int64_t utterance_bin(int64_t utterance) { return (utterance - 1) / 5 * 5 + 1; }

UtteranceEnd utterance_end(const Tokenizer& tokenizer, const std::string& eou) {
  if (eou == "none") return {eou, {}};
  if (eou == "newline") return {eou, tokenizer.encode("\n", {.add_special = false, .parse_special = false})};
  if (eou != "end-of-turn") throw UsageError("[ppl] eou is '{}'; it is newline, end-of-turn or none", eou);
  if (tokenizer.end_of_generation().empty())
    throw UsageError("[ppl] eou is end-of-turn, but this tokenizer has no such token; take newline");
  // Of several the one that is not EOS: chat models end turns with a token of its own.
  TokenId id = tokenizer.end_of_generation().front();
  for (const TokenId other : tokenizer.end_of_generation())
    if (tokenizer.eos() != other) id = other;
  return {eou, {id}};
}

ScoredText scored_document(const Tokenizer& tokenizer, const std::string& text, const PplParams& params) {
  ScoredText scored;
  begin(scored, tokenizer, params);
  const auto ids = tokenizer.encode(text, {.add_special = false, .parse_special = false});
  scored.ids.insert(scored.ids.end(), ids.begin(), ids.end());
  cut(scored, params.length);
  return scored;
}

ScoredText scored_dialogue(const Tokenizer& tokenizer, const DialogueRecord& dialogue, const UtteranceEnd& end,
                           const PplParams& params) {
  ScoredText scored;
  begin(scored, tokenizer, params);
  auto session = dialogue.session_starts.begin();
  for (size_t i = 0; i < dialogue.utterances.size(); ++i) {
    const DialogueRecord::Utterance& utterance = dialogue.utterances[i];
    if (session != dialogue.session_starts.end() && *session == i) {
      scored.session_starts.push_back(static_cast<int64_t>(scored.ids.size()));
      ++session;
    }
    const std::string speaker = params.speakers && !utterance.speaker.empty() ? utterance.speaker + ": " : "";
    const auto ids = tokenizer.encode(speaker + utterance.text, {.add_special = false, .parse_special = false});
    scored.ids.insert(scored.ids.end(), ids.begin(), ids.end());
    scored.ids.insert(scored.ids.end(), end.ids.begin(), end.ids.end());
    scored.utterance_ends.push_back(static_cast<int64_t>(scored.ids.size()));
  }
  scored.first_scored = scored.utterance_ends.front();
  cut(scored, params.length);
  return scored;
}

void join_dialogue(ScoredText& text, const ScoredText& more) {
  const auto at = static_cast<int64_t>(text.ids.size());
  text.ids.insert(text.ids.end(), more.ids.begin(), more.ids.end());
  // A dialogue that was cut in an utterance ends it all the same: the next one begins another.
  if (text.utterance_ends.empty() || text.utterance_ends.back() < at) text.utterance_ends.push_back(at);
  for (const int64_t end : more.utterance_ends) text.utterance_ends.push_back(at + end);
  text.session_starts.push_back(at);
  for (const int64_t start : more.session_starts) text.session_starts.push_back(at + start);
  text.joined_at.push_back(at);
  text.cut_tokens += more.cut_tokens;
}

Json ppl_line(const ScoredText& text, const UtteranceEnd& end, const std::vector<double>& nll,
              const Tokenizer& tokenizer, int64_t step) {
  const auto count = static_cast<int64_t>(text.ids.size()), end_length = static_cast<int64_t>(end.ids.size());
  Sums all, eou, starts;
  int64_t utterance = 1, session = 1;
  bool opens_session = false;  // the present utterance is the first of a later session
  Bins by_position, by_utterance, by_session;
  Json running = Json::array();
  auto next_end = text.utterance_ends.begin();
  auto next_session = text.session_starts.begin(), next_joined = text.joined_at.begin();
  for (int64_t t = 0; t < count; ++t) {
    while (next_end != text.utterance_ends.end() && *next_end <= t) ++next_end, ++utterance, opens_session = false;
    while (next_session != text.session_starts.end() && *next_session <= t)
      ++next_session, ++session, opens_session = true;
    while (next_joined != text.joined_at.end() && *next_joined <= t) ++next_joined, utterance = 1;
    if (t >= text.first_scored) {
      const double value = nll[static_cast<size_t>(t)];
      all.add(value);
      by_position.add(position_bin(t), value);
      if (!text.utterance_ends.empty()) by_utterance.add(utterance_bin(utterance), value);
      // Of an utterance that was cut off the last tokens are no end.
      if (next_end != text.utterance_ends.end() && t >= *next_end - end_length &&
          text.ids[static_cast<size_t>(t)] == end.ids[static_cast<size_t>(t - (*next_end - end_length))])
        eou.add(value);
      if (opens_session) starts.add(value);
      by_session.add(session, value);
    }
    if (step > 0 && (t + 1) % step == 0 && all.tokens > 0) running.push_back({t + 1, all.nll, all.tokens});
  }
  const int64_t chars =
      count_characters(tokenizer.decode(std::span(text.ids).subspan(static_cast<size_t>(text.first_scored)), true)) +
      (end.name == "end-of-turn" ? static_cast<int64_t>(eou.tokens) : 0);
  Json line = {{"nll", all.nll},
               {"tokens", static_cast<int64_t>(all.tokens)},
               {"chars", chars},
               {"nll_eou", eou.nll},
               {"tokens_eou", static_cast<int64_t>(eou.tokens)},
               {"cut_tokens", text.cut_tokens},
               {"by_position", by_position.json()},
               {"by_utterance", by_utterance.json()},
               {"scores",
                {{"ppl", std::exp(all.nll / all.tokens)},
                 {"bits_per_char", all.nll / (std::log(2.0) * static_cast<double>(std::max<int64_t>(chars, 1)))}}}};
  if (step > 0) line["running"] = std::move(running);
  if (text.session_starts.empty()) return line;
  line["session_starts"] = {starts.nll, starts.tokens};
  if (text.joined_at.empty()) line["by_session"] = by_session.json();
  return line;
}

Metrics ppl_metrics(const Lines& lines) {
  std::vector<Sums> all, no_eou, chars, starts;
  std::vector<double> means;
  bool any_eou = false;
  for (const Json* line : lines) {
    const double nll = number(*line, "nll"), tokens = number(*line, "tokens");
    all.push_back({nll, tokens});
    no_eou.push_back({nll - number(*line, "nll_eou"), tokens - number(*line, "tokens_eou")});
    chars.push_back({nll, number(*line, "chars")});
    means.push_back(nll / tokens);
    if (const auto start = line->find("session_starts"); start != line->end() && start->at(1).get<double>() > 0)
      starts.push_back({start->at(0), start->at(1)});
    any_eou |= number(*line, "tokens_eou") > 0;
  }
  Metrics metrics;
  metrics["ppl"] = micro(all);
  metrics["ppl_macro"] = corpus_metric(
      means.size(),
      [&](std::span<const size_t> drawn) {
        double sum = 0;
        for (const size_t i : drawn) sum += means[i];
        return std::exp(sum / static_cast<double>(drawn.size()));
      },
      false);
  metrics["bits_per_char"] = corpus_metric(
      chars.size(),
      [&](std::span<const size_t> drawn) {
        Sums sums;
        for (const size_t i : drawn) sums.nll += chars[i].nll, sums.tokens += chars[i].tokens;
        return sums.nll / (std::log(2.0) * sums.tokens);
      },
      false);
  if (any_eou) metrics["ppl_without_eou"] = micro(no_eou);
  if (!starts.empty()) metrics["ppl_session_starts"] = micro(starts);
  return metrics;
}

const Task* ppl_task() {
  static const Ppl task;
  return &task;
}

}  // namespace steno
