// `qa` and `longqa`: questions about a text that was read before, scored as in evaluation.md, section 6. Records that
// share a context read it once.

#include "base/error.h"
#include "eval/answer.h"
#include "eval/prompts/encoder.h"
#include "io/prompt.h"
#include "metrics/qa_match.h"
#include "metrics/supporting_facts.h"

namespace steno {
namespace {

struct QaParams {
  std::string dialect = "squad";
  int64_t max_new_tokens = 32;
  std::string system, chat_format;

  template <class F>
  void visit(F&& f) {
    f("dialect", dialect, "how answers are normalised: squad, triviaqa or hotpotqa");
    f("max_new_tokens", max_new_tokens, "longest answer");
    f("system", system, "system message of the conversation");
    f("chat_format", chat_format, "name of the chat format, where the model's own is not recognised");
  }
};

QaDialect dialect_named(const std::string& owner, const std::string& name) {
  if (name == "squad") return QaDialect::squad;
  if (name == "triviaqa") return QaDialect::trivia;
  if (name == "hotpotqa") return QaDialect::hotpot;
  throw UsageError("[{}] dialect is '{}'; it is squad, triviaqa or hotpotqa", owner, name);
}

const Wording& wording() {
  static const Wording words{"qa-1", "Text:\n\n", "\n\nAnswer this question from the text in a few words: ", "Answer:"};
  return words;
}
constexpr double kHeld = 0.5;  // a sentence is held where half of it is
constexpr const char* kClosedBook = "Answer this question in a few words: ";

struct Question {
  std::string context_key, question;
  std::vector<std::string> references;
  size_t context = 0;  // index into contexts
  std::vector<QaRecord::Sentence> sentences;
  std::set<Fact> facts;  // one must know; none: not scored
};

class QaRun : public TaskRun {
 public:
  QaRun(const TaskInput& input, const QaParams& params, QaDialect dialect)
      : model_(input.model),
        params_(params),
        dialect_(dialect),
        format_(choose_chat_format(*model_->tokenizer, params.chat_format)),
        frame_(user_frame(format_, params.system)),
        answerer_(model_, greedy(params.max_new_tokens, format_.stops())) {}

  void add(const QaRecord& record) {
    // Items that share a context stand next to each other.
    if (contexts_.empty() || contexts_.back() != record.context) add_context(record.id, record.context);
    add_question(record.id, record.source, record.question, record.answers);
    questions_.back().sentences = record.sentences;
    questions_.back().facts.insert(record.supporting_facts.begin(), record.supporting_facts.end());
    has_facts_ |= !record.supporting_facts.empty();
  }
  void add(const LongQaRecord& record) {
    add_context(record.id, record.context);
    for (size_t i = 0; i < record.questions.size(); ++i)
      add_question(fmt::format("{}/question={}", record.id, i + 1), record.source, record.questions[i].question,
                   record.questions[i].answers);
  }

  const std::vector<Item>& items() const override { return items_; }

  Json run(size_t item, const Arm& arm, const ItemProgress& progress) override {
    const Question& question = questions_[item];
    Prompt prompt;
    prompt.key = question.context_key;
    if (arm.control != Control::closed_book) prompt.context = context_ids(question.context);
    prompt.question = encode_question(*model_->tokenizer, frame_, question.question, wording());
    prompt.closed_book = closed_book(question.question);
    Answer answer = answerer_.answer(arm, prompt, progress);
    const QaScore score = score_answer(cut_answer(answer.generated.text), question.references, dialect_);
    Json line = {{"cluster", question.context_key},
                 {"scores", {{"f1", score.f1}, {"em", score.exact}, {"substring_em", score.substring}}},
                 {"question", question.question},
                 {"references", question.references}};
    line.update(answer.line);
    if (!question.facts.empty()) add_facts(question, score, arm, answer.held, line);
    return line;
  }

  Json settings() const override {
    Json settings = field_values(params_);
    settings["template"] = wording().id + "/" + format_.name();
    settings["stop"] = format_.stops();
    settings["decoding"] = "greedy";
    settings["metrics"] = "em, f1 and substring_em after " + params_.dialect +
                          " normalisation, best of the references; the answer ends at the first line break";
    if (has_facts_)
      settings["supporting_facts"] =
          "sentences of which half or more is held when the answer begins (mean over tokens, layers and heads), "
          "against "
          "the record's; fact_em, fact_f1, joint_em and joint_f1 as in hotpot_evaluate_v1.py";
    return settings;
  }
  std::string headline() const override { return "f1"; }

 private:
  void add_context(const std::string& id, const std::string& text) {
    contexts_.push_back(text);
    key_ = id;
  }
  void add_question(std::string id, const std::string& source, const std::string& question,
                    const std::vector<std::string>& references) {
    Json cell = Json::object();
    if (!source.empty()) cell["source"] = source;
    // About four characters a token; a context that is shared costs its first question alone.
    const bool first = questions_.empty() || questions_.back().context + 1 != contexts_.size();
    const auto tokens = static_cast<int64_t>(((first ? contexts_.back().size() : 0) + question.size()) / 4);
    items_.push_back({std::move(id), std::move(cell), tokens + params_.max_new_tokens});
    questions_.push_back({key_, question, references, contexts_.size() - 1});
  }
  // HotpotQA has systems name the sentences that they answer from. A memory names them by what it holds.
  void add_facts(const Question& question, const QaScore& score, const Arm& arm, const std::vector<float>& held,
                 Json& line) {
    std::set<Fact> found;
    if (arm.control != Control::closed_book) found = held_sentences(question, held);
    const FactScore facts = score_facts(found, question.facts);
    const JointScore joint = joint_score(score, facts);
    Json& scores = line["scores"];
    scores["fact_em"] = facts.exact;
    scores["fact_f1"] = facts.f1;
    scores["fact_recall"] = facts.recall;
    scores["joint_em"] = joint.exact;
    scores["joint_f1"] = joint.f1;
    line["facts"] = question.facts;
    line["facts_held"] = found;
  }

  std::set<Fact> held_sentences(const Question& question, const std::vector<float>& held) {
    const std::vector<TokenId>& ids = context_ids(question.context);
    // Bytes behind each token; the document ends the ids.
    std::vector<size_t> ends;
    size_t bytes = 0;
    for (const TokenId id : ids) ends.push_back(bytes += model_->tokenizer->piece(id).size());
    const std::string& text = contexts_[question.context];
    const size_t document = bytes - std::min(bytes, text.find_last_not_of(" \t\r\n") + 1);
    std::set<Fact> found;
    for (const QaRecord::Sentence& sentence : question.sentences) {
      if (sentence.end == sentence.begin) continue;
      const TokenRange range = PromptEncoder::range_of(ends, document + sentence.begin, document + sentence.end);
      double share = 0, tokens = 0;
      for (int64_t t = range.first; t <= range.last && t < static_cast<int64_t>(held.size()); ++t, ++tokens)
        share += held[static_cast<size_t>(t)];
      if (tokens > 0 && share / tokens >= kHeld) found.emplace(sentence.title, sentence.number);
    }
    return found;
  }

  const std::vector<TokenId>& context_ids(size_t context) {
    if (encoded_ != context) {
      ids_ = encode_document(*model_->tokenizer, frame_, contexts_[context], wording());
      encoded_ = context;
    }
    return ids_;
  }
  std::vector<TokenId> closed_book(const std::string& question) const {
    return encode_turn(*model_->tokenizer, frame_,
                       kClosedBook + question + (frame_.add_special ? "\n" + wording().answer : std::string()));
  }

  std::shared_ptr<const Model> model_;
  QaParams params_;
  QaDialect dialect_;
  ChatFormat format_;
  Frame frame_;
  Answerer answerer_;
  std::vector<Item> items_;
  std::vector<Question> questions_;
  std::vector<std::string> contexts_;
  std::string key_;
  bool has_facts_ = false;
  size_t encoded_ = std::string::npos;
  std::vector<TokenId> ids_;  // of context encoded_
};

template <class R>
class QaTask : public Task {
 public:
  QaTask(std::string name, std::string summary, DataNeed data)
      : name_(std::move(name)), summary_(std::move(summary)), data_(std::move(data)) {}
  std::string name() const override { return name_; }
  std::string summary() const override { return summary_; }
  std::vector<FieldInfo> parameters() const override { return list_fields(QaParams{}); }
  std::vector<DataNeed> data() const override { return {data_}; }
  bool has_controls() const override { return true; }
  std::unique_ptr<TaskRun> prepare(const TaskInput& input) const override {
    QaParams params;
    set_fields(name_, params, input.params);
    if (params.max_new_tokens < 1) throw UsageError("[{}] max_new_tokens must be at least 1", name_);
    auto run = std::make_unique<QaRun>(input, params, dialect_named(name_, params.dialect));
    for (const R& record : input.data.records_of<R>("data")) run->add(record);
    return run;
  }

 private:
  std::string name_, summary_;
  DataNeed data_;
};

}  // namespace

const Task* qa_task() {
  static const QaTask<QaRecord> task("qa", "short answers about a passage: EM, F1, substring EM",
                                     {"data", "qa.valid.jsonl.zst", "questions with 'context' and 'answers'"});
  return &task;
}

const Task* longqa_task() {
  static const QaTask<LongQaRecord> task("longqa", "several questions about one long text: EM, F1, substring EM",
                                         {"data", "longqa.valid.jsonl.zst", "long contexts with 'qas'"});
  return &task;
}

}  // namespace steno
