// steno ask: documents are read once into a memory, every question is answered from a copy of it. Documents that are
// memory files were read long ago; texts beside them are read with them.
#include <spdlog/spdlog.h>

#include "base/error.h"
#include "base/interrupt.h"
#include "cli/accounting.h"
#include "cli/documents.h"
#include "cli/memory_book.h"
#include "cli/memory_frame.h"
#include "cli/memory_source.h"
#include "cli/model_path.h"
#include "cli/reading.h"
#include "cli/text.h"
#include "cli/verb.h"
#include "io/prompt.h"
#include "memory/generate.h"

namespace steno {
namespace {

class Ask : public Verb {
 public:
  explicit Ask(CLI::App& root)
      : Verb(root, "ask", "Read documents into a bounded memory and answer questions from it") {
    app_->add_option("documents", documents_, "text files, memory files, patterns, or - for standard input");
    app_->add_option("--question", questions_, "what to answer; may be repeated")->allow_extra_args(false);
    add_method_flags(*app_, method_);
    add_memory_flags(*app_, memories_);
    add_answer_flags(*app_, answer_);
  }

  void run(StandardOutput& out) override {
    check();
    if (const MemoryNames names = look_for_memories("ask", documents_); names.any()) return run_memories(out, names);
    refuse_memory_flags("ask", *app_);
    const GenerateOptions options = generate_options(answer_, common_);
    const LoadOptions load = load_options(common_);
    const MemoryChoice memory = choose_memory("ask", method_);
    const std::string text = join_documents(read_documents("ask", documents_));
    model_ = load_model(find_model(common_.model), load);
    const ChatFormat format = choose_chat_format(*model_.tokenizer, answer_.chat_format);
    const Frame frame = user_frame(format, answer_.system);

    const std::vector<TokenId> ids = encode_document(*model_.tokenizer, frame, text);
    std::unique_ptr<Stream> stream = memory.method->open_stream(model_.decoder, memory.options);
    warn_about_span(memory, model_.decoder->config(), static_cast<int64_t>(ids.size()));
    RunReport report;
    report.read_s = read_tokens(*stream, ids, !common_.quiet);
    report.read_tokens = static_cast<int64_t>(ids.size());
    report.memory = stream->accounting();

    Json answers = Json::array();
    for (size_t i = 0; i < questions_.size(); ++i) {
      // The last question may use up the memory itself; every other one gets a copy.
      const bool last = i + 1 == questions_.size();
      const std::unique_ptr<Stream> branch = last ? std::move(stream) : stream->fork();
      const std::vector<TokenId> prompt = encode_question(*model_.tokenizer, frame, questions_[i]);
      answers.push_back(answer(out, *branch, prompt, format, questions_[i], options, report));
    }
    if (common_.json) {
      out.write_json(Json{{"model", model_.name},
                          {"method", memory.method->name()},
                          {"budget", method_.budget ? Json(*method_.budget) : Json()},
                          {"answers", std::move(answers)},
                          {"accounting", report_json(report)}});
    } else if (!common_.quiet) {
      fmt::print(stderr, "\n{}", report_text(report));
    }
  }

 private:
  void check() const {
    if (documents_.empty()) throw UsageError("[ask] name at least one document, or - for standard input");
    if (questions_.empty()) throw UsageError("[ask] --question is missing");
    for (const std::string& question : questions_)
      if (question.find_first_not_of(" \t\r\n") == std::string::npos)
        throw UsageError("[ask] --question must not be empty");
  }

  void run_memories(StandardOutput& out, const MemoryNames& names) {
    refuse_stream_flags("ask", *app_);
    GenerateOptions options = generate_options(answer_, common_);
    const LoadOptions load = load_options(common_);
    const MemoryReading how = memory_reading("ask", memories_);
    model_ = load_model(find_model(common_.model), load);
    MemorySource source = open_memories("ask", names, model_, how.set);
    const ChatFormat format = choose_chat_format(*model_.tokenizer, answer_.chat_format);
    const MemoryFrame frame = memory_frame(*source.compressor, *model_.tokenizer, format, answer_);
    options.ends = frame.ends;
    MemoryBook book(source.compressor, std::move(source.passages), frame.before, how.rule, how.room);

    RunReport report;
    Json answers = Json::array();
    std::string readings;
    for (const std::string& question : questions_) {
      const std::vector<TokenId> prompt = frame.question(*model_.tokenizer, question);
      const Stopwatch clock;
      const auto stream = open_book(book, question, static_cast<int64_t>(prompt.size()) + options.max_new_tokens,
                                    &question != &questions_.back(), *model_.tokenizer, !common_.quiet);
      report.read_s += clock.seconds();
      report.read_tokens = book.reading().choice.positions;
      Json item = answer(out, *stream, prompt, format, question, options, report);
      report.memory = stream->accounting();
      const AnswerBytes bytes = answer_bytes(report.memory);
      item["reading"] = reading_json(book, book.reading(), bytes);
      answers.push_back(std::move(item));
      // Where everything is read it is the same for all questions.
      if (book.reading().choice.unread.empty())
        readings.clear();
      else if (questions_.size() > 1)
        readings += fmt::format("question {}\n", answers.size());
      readings += reading_text(book, book.reading(), bytes);
    }
    if (common_.json) {
      Json accounting = report_json(report);
      accounting["spans"] = book.passages().size();
      accounting["memory_source_tokens"] = book.source_tokens();
      out.write_json(Json{{"model", model_.name},
                          {"method", source.method},
                          {"memories", source.files},
                          {"template", frame.name},
                          {"answers", std::move(answers)},
                          {"accounting", std::move(accounting)}});
    } else if (!common_.quiet) {
      fmt::print(stderr, "\nread    {} in {}\n{}{}", plural(report.read_tokens, "position"),
                 seconds_text(report.read_s), readings, answer_text(report));
    }
  }

  Json answer(StandardOutput& out, Stream& stream, std::span<const TokenId> prompt, const ChatFormat& format,
              const std::string& question, GenerateOptions options, RunReport& report) {
    options.stop.insert(options.stop.end(), format.stops().begin(), format.stops().end());
    if (!common_.json && questions_.size() > 1) out.write("Q: " + question + "\nA: ");
    const Generated generated = [&] {
      try {
        return generate(stream, model_.tokenizer, prompt, options, [&](std::string_view piece) {
          if (!common_.json) out.write_text(piece);
        });
      } catch (const Interrupted&) {
        throw Interrupted("interrupted: {} tokens read, nothing answered", report.read_tokens);
      }
    }();
    if (!common_.json) out.write(&question == &questions_.back() ? "\n" : "\n\n");
    if (generated.reason == StopReason::interrupted)
      throw Interrupted("interrupted: {} tokens read, {} tokens answered", report.read_tokens, generated.tokens.size());
    if (report.first_token_s == 0) report.first_token_s = generated.first_token_s;
    report.decoded_tokens += generated.decoded_tokens;
    report.decode_s += generated.decode_s;
    return {{"question", question},
            {"text", generated.text},
            {"tokens", generated.tokens},
            {"stop_reason", stop_reason_name(generated.reason)}};
  }

  std::vector<std::string> documents_, questions_;
  MethodFlags method_;
  MemoryFlags memories_;
  AnswerFlags answer_;
  Model model_;
};

}  // namespace

std::unique_ptr<Verb> make_ask(CLI::App& root) { return std::make_unique<Ask>(root); }

}  // namespace steno
