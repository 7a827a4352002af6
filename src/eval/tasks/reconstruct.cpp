// `reconstruct`: a text is read and then written again from the memory (evaluation, section 3).
#include "eval/prompts/reconstruct.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/process.h"
#include "eval/prompts/draw.h"
#include "eval/tasks/prompt_run.h"
#include "metrics/bleu.h"
#include "metrics/edit_distance.h"
#include "metrics/nltk_bleu.h"
#include "metrics/string_match.h"

namespace steno {
namespace {

struct ReconstructParams {
  std::string texts = "natural,shuffled,random";
  std::string tokens = "64,128,256,512";
  int64_t trials = 20;
  // What a small model without any training for the task writes back word for word when it forgets nothing.
  std::string form = "chat";
  int64_t demonstrations = 0;
  std::string trigger;
  int64_t readings = 3;
  int64_t hint_tokens = 8;

  template <class F>
  void visit(F&& f) {
    f("texts", texts, "natural, shuffled (its words), random (tokens), comma-separated");
    f("tokens", tokens, "tokens of a text, comma-separated");
    f("trials", trials, "texts per cell");
    f("demonstrations", demonstrations, "fixed texts with their copies in front of the text, 0 to 6");
    f("trigger", trigger, "text or token that asks for the text again; empty: as in the demonstrations");
    f("readings", readings, "how often the text is read before it is asked for");
    f("hint_tokens", hint_tokens, "the answer begins with so many tokens of the text; they are not scored");
    f("form", form, "plain, chat (the model's own format) or the name of a chat format");
  }
};

// What the stream expects at each of the places of `expected`, when it is given the right tokens before.
std::vector<TokenId> forced_tokens(Stream& stream, const std::vector<TokenId>& before,
                                   const std::vector<TokenId>& expected) {
  const int64_t first = stream.tokens_seen() + static_cast<int64_t>(before.size()) - 1;
  std::vector<TokenId> predicted(expected.size(), -1);
  const auto take = [&](const FeedResult& result) {
    if (!result.logits.defined()) return;
    const at::Tensor best = result.logits.argmax(-1).to(at::kCPU, at::kLong).contiguous();
    for (int64_t i = 0; i < best.numel(); ++i) {
      const int64_t place = result.first_position + i - first;
      if (place >= 0 && place < static_cast<int64_t>(expected.size()))
        predicted[static_cast<size_t>(place)] = static_cast<TokenId>(best.data_ptr<int64_t>()[i]);
    }
  };
  take(stream.feed(before, LogitRows::last));
  take(stream.feed(std::span(expected).first(expected.size() - 1), LogitRows::all));
  take(stream.flush());
  return predicted;
}

class ReconstructRun : public TaskRun {
 public:
  ReconstructRun(const TaskInput& input, const ReconstructParams& params)
      : params_(params),
        model_(input.model),
        encoder_(model_->tokenizer, params.form),
        frame_(copy_frame(*model_->tokenizer, params.form, params.demonstrations, params.trigger)),
        source_(read_filler(input.data, "data")),
        seed_(input.seed) {
    const int64_t trials = trials_per_cell("reconstruct", params.trials, input.limit);
    for (const std::string& text : parse_name_list("reconstruct", "texts", params.texts))
      for (const int64_t tokens : parse_positive_list("reconstruct", "tokens", params.tokens))
        for (int64_t trial = 0; trial < trials; ++trial) {
          items_.push_back({fmt::format("text={}/tokens={}/trial={}", text, tokens, trial),
                            {{"text", text}, {"tokens", tokens}},
                            tokens * (12 + params.readings)});
          specs_.push_back({.kind = text_kind_named(text),
                            .tokens = tokens,
                            .readings = params.readings,
                            .hint_tokens = params.hint_tokens});
          if (trial == 0) build(items_.size() - 1);  // refuses before any work
        }
  }

  const std::vector<Item>& items() const override { return items_; }

  Json run(size_t item, const Arm& arm, const ItemProgress& progress) override {
    const ReconstructPrompt built = build(item);
    const std::string& reference = built.prompt.references[0];
    const auto compressor = compressor_of(arm);
    GenerateOptions options = greedy(built.max_new_tokens, encoder_.stops());
    const auto end = compressor ? compressor->reconstruction_end() : std::nullopt;
    if (end) options.ends.push_back(*end);
    Answerer answerer(model_, options);
    Prompt prompt = to_prompt(built.prompt, encoder_, items_[item].id);
    // The closed-book control is shown how to copy, but not what.
    prompt.closed_book = frame_.before_ids;
    prompt.closed_book.insert(prompt.closed_book.end(), prompt.question.begin(), prompt.question.end());
    Answer answer;
    std::vector<TokenId> forced;
    if (compressor) {
      const std::vector<TokenId> before = before_text(*compressor, prompt, item);
      std::vector<TokenId> text = before;
      text.insert(text.end(), built.expected.begin(), built.expected.end());
      const Stopwatch clock;
      std::unique_ptr<MemoryReader> reader = compressor->open_reader();
      reader->read_slots(compressor->compress(cut_fixed(text, compressor->span_tokens())));
      const FeedResult start = reader->begin(ReaderTask::reconstruct, LogitRows::last);
      const double seconds = clock.seconds();
      const std::unique_ptr<Stream> again = reader->fork();
      const auto first = static_cast<TokenId>(start.logits.argmax(-1).item<int64_t>());
      const auto count = static_cast<int64_t>(text.size());
      if (!before.empty()) {
        answer = answerer.answer_after(std::move(reader), seconds, count, before, progress);
        forced = forced_tokens(*again, before, built.expected);
      } else {
        // The token of the task predicts the first token of the text, which then is what the answer goes on from.
        answer = answerer.answer_after(std::move(reader), seconds, count, {first}, progress);
        std::vector<TokenId>& tokens = answer.generated.tokens;
        tokens.insert(tokens.begin(), first);
        answer.generated.text = model_->tokenizer->decode(tokens, /*skip_special=*/true);
        forced = {first};
        if (built.expected.size() > 1) {
          const std::vector<TokenId> rest(built.expected.begin() + 1, built.expected.end());
          const auto more = forced_tokens(*again, {built.expected[0]}, rest);
          forced.insert(forced.end(), more.begin(), more.end());
        }
      }
    } else {
      answer = answerer.answer(arm, prompt, progress);
      forced = force(answerer, arm, prompt, built.expected, progress);
    }

    const std::string& text = answer.generated.text;
    const Tokens words = split_spaces(reference);
    const std::vector<TokenId>& ids = answer.generated.tokens;
    Json scores = {
        {"bleu4", nltk_sentence_bleu({&words, 1}, split_spaces(text), cumulative_weights(4), NltkSmoothing::method1)},
        {"exact", ids == built.expected ? 1 : 0},
        {"token_accuracy", token_accuracy(forced, built.expected)},
        {"edit_distance", normalised_edit_distance(ids, built.expected)}};
    if (const double digits = digit_recall(text, reference); !std::isnan(digits)) scores["digit_recall"] = digits;
    if (const std::vector<std::string> names = names_in(reference); !names.empty())
      scores["name_recall"] = keyword_recall(text, names);
    Json line = {{"scores", std::move(scores)},
                 {"question", built.prompt.question + built.prompt.answer_prefix},
                 {"references", built.prompt.references},
                 {"readings", specs_[item].readings}};
    // A control without context has read nothing that could be kept; one that writes slots has read the text alone.
    if (compressor) {
      line["readings"] = 1;
      line["needle"] = {0, answer.line["context_tokens"].get<int64_t>() - 1};
    } else if (arm.control != Control::closed_book)
      line["needle"] = {built.prompt.needles[0].first, built.prompt.needles[0].last};
    line.update(answer.line);
    return line;
  }

  Json settings() const override {
    Json settings = field_values(params_);
    settings["template"] = "reconstruct-1/" + encoder_.id();
    settings["before"] = frame_.before;
    settings["trigger"] = frame_.after;
    settings["source"] = source_.name();
    settings["max_new_tokens"] = "ceil(1.2 n) + 10";
    settings["decoding"] = "greedy";
    settings["metrics"] = {
        {"bleu", "corpus, " + bleu_signature({})},
        {"bleu4", "NLTK sentence BLEU-4, method1, words between spaces, mean"},
        {"exact", "equal token ids"},
        {"token_accuracy", "share of tokens that are the most likely ones when all before are right"},
        {"edit_distance", "Levenshtein over token ids / the longer length"},
        {"digit_recall", "share of the text's numbers that occur again, over texts with numbers"},
        {"name_recall", "share of the words written large inside sentences that occur again, over texts with some"}};
    return settings;
  }
  std::string headline() const override { return "bleu4"; }

  Metrics metrics(const Lines& lines) const override {
    Metrics metrics = score_metrics(lines, {"edit_distance"});
    std::vector<BleuStats> stats;
    for (const Json* line : lines)
      stats.push_back(bleu_stats(line->at("prediction").get<std::string>(),
                                 line->at("references").get<std::vector<std::string>>()));
    metrics["bleu"] = corpus_metric(stats.size(), [&](std::span<const size_t> drawn) {
      BleuStats sum{.matches = {0, 0, 0, 0}, .totals = {0, 0, 0, 0}};
      for (const size_t i : drawn) sum += stats[i];
      return bleu_from_stats(sum).score;
    });
    return metrics;
  }

 private:
  ReconstructPrompt build(size_t item) const {
    return build_reconstruct(encoder_, source_, frame_, specs_[item], mix_seeds({seed_, seed_of(items_[item].id)}));
  }

  // Methods that write slots have learned to write a text again from them: they read it once and by itself, without the
  // words around it, and begin with the token of the task. nullptr for all others.
  std::shared_ptr<const Compressor> compressor_of(const Arm& arm) {
    if (arm.control != Control::none || !arm.method->needs_training()) return nullptr;
    const auto found = compressors_.find(arm.id);
    if (found != compressors_.end()) return found->second;
    return compressors_[arm.id] = arm.method->open_compressor(*model_, arm.options.params);
  }

  // What opens a text for this compressor, and the tokens of the text that the answer begins with.
  std::vector<TokenId> before_text(const Compressor& compressor, const Prompt& prompt, size_t item) const {
    const auto count = std::min<int64_t>(specs_[item].hint_tokens, static_cast<int64_t>(prompt.question.size()));
    std::vector<TokenId> before(prompt.question.end() - count, prompt.question.end());
    if (const auto opening = compressor.opening_token()) before.insert(before.begin(), *opening);
    return before;
  }

  std::vector<TokenId> force(Answerer& answerer, const Arm& arm, const Prompt& prompt,
                             const std::vector<TokenId>& expected, const ItemProgress& progress) const {
    const bool closed = arm.control == Control::closed_book;
    if (!closed && !arm.query_aware)
      return forced_tokens(*answerer.after_context(arm, prompt, progress), prompt.question, expected);
    std::vector<TokenId> before = closed ? prompt.closed_book : prompt.question;
    if (!closed) before.insert(before.begin(), prompt.context.begin(), prompt.context.end());
    return forced_tokens(*arm.open(model_->decoder), before, expected);
  }

  ReconstructParams params_;
  std::shared_ptr<const Model> model_;
  PromptEncoder encoder_;
  CopyFrame frame_;
  Filler source_;
  uint64_t seed_;
  std::vector<Item> items_;
  std::vector<ReconstructSpec> specs_;
  std::map<std::string, std::shared_ptr<const Compressor>> compressors_;  // by arm
};

class Reconstruct : public Task {
 public:
  std::string name() const override { return "reconstruct"; }
  std::string summary() const override { return "a text written again from the memory: BLEU-4, exact match, names"; }
  std::vector<FieldInfo> parameters() const override { return list_fields(ReconstructParams{}); }
  std::vector<DataNeed> data() const override {
    return {{"data", "prose.valid.jsonl.zst", "documents to take texts from"}};
  }
  bool has_controls() const override { return true; }
  std::unique_ptr<TaskRun> prepare(const TaskInput& input) const override {
    ReconstructParams params;
    set_fields(name(), params, input.params);
    return std::make_unique<ReconstructRun>(input, params);
  }
};

}  // namespace

const Task* reconstruct_task() {
  static const Reconstruct task;
  return &task;
}

}  // namespace steno
