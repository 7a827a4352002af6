// steno chat: a conversation without end in one memory.
#include <fmt/core.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <optional>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/utf8.h"
#include "cli/chat_command.h"
#include "cli/chat_input.h"
#include "cli/chat_report.h"
#include "cli/chat_session.h"
#include "cli/chat_transcript.h"
#include "cli/memory_book.h"
#include "cli/memory_frame.h"
#include "cli/memory_source.h"
#include "cli/model_path.h"
#include "cli/progress.h"
#include "cli/reading.h"
#include "cli/text.h"
#include "cli/verb.h"
#include "io/prompt.h"

namespace steno {
namespace {

constexpr const char* kBlock = "\"\"\"";

class Chat : public Verb {
 public:
  explicit Chat(CLI::App& root) : Verb(root, "chat", "Talk for as long as you like in a bounded memory") {
    app_->add_option("--load", load_, "continue a conversation that /save has written")->type_name("FILE");
    app_->add_option("--transcript", transcript_, "append what is said to this file, as JSON lines")->type_name("FILE");
    app_->add_option("--undo", undo_, "turns that /undo can take back, while they fit into 256 MB")
        ->capture_default_str();
    app_->add_option(
            "--memory", memory_files_,
            "memory files, and texts between them, that the conversation begins with; half of the window at most")
        ->group("Memory files");
    add_method_flags(*app_, method_);
    add_memory_flags(*app_, memory_flags_);
    add_answer_flags(*app_, answer_);
  }

  void run(StandardOutput& out) override {
    out_ = &out;
    if (undo_ < 1) throw UsageError("[chat] --undo must be at least 1, not {}", undo_);
    options_ = generate_options(answer_, common_);
    const LoadOptions load = load_options(common_);
    MemoryNames names;
    if (memory_files_.empty()) {
      refuse_memory_flags("chat", *app_);
      memory_ = choose_memory("chat", method_);
    } else {
      refuse_stream_flags("chat", *app_);
      memory_reading("chat", memory_flags_);
      names = look_for_memories("chat", memory_files_);
      if (!names.any()) throw UsageError("[chat] --memory {}: no memory file is among them", memory_files_.front());
    }
    if (!transcript_.empty()) log_.emplace(transcript_);
    Model model = load_model(find_model(common_.model), load);
    const ChatFormat format = choose_chat_format(*model.tokenizer, answer_.chat_format);
    options_.stop.insert(options_.stop.end(), format.stops().begin(), format.stops().end());
    ChatOpening opening;
    if (!memory_files_.empty()) opening = open_memory_book(names, model, format);
    session_.emplace(std::move(model), *memory_.method, memory_.options, format, answer_.system,
                     ChatLimits{.undo_levels = undo_}, std::move(opening));
    if (!load_.empty()) load_file(load_);
    check_interrupt("nothing was said");
    // A key pressed twice in haste should not end the conversation.
    install_interrupt_handler(2);
    log({{"event", "start"},
         {"model", session_->model().name},
         {"method", memory_.method->name()},
         {"budget", method_.budget ? Json(*method_.budget) : Json()},
         {"memories", names.names},
         {"template", frame_ ? frame_->name : format.name()},
         {"system", session_->system()}});
    terminal_ = isatty(STDIN_FILENO);
    input_ = terminal_ ? open_terminal_input(history_path(), common_.json) : open_plain_input(STDIN_FILENO);
    if (terminal_) greet();
    converse();
    if (log_ && log_->lost() > 0)
      spdlog::error("[chat] --transcript {}: {} could not be written", log_->path(), plural(log_->lost(), "line"));
  }

 private:
  // The first turn decides which spans are read where not all fit, and at least half of the window is left to the
  // conversation.
  ChatOpening open_memory_book(const MemoryNames& names, const Model& model, const ChatFormat& format) {
    const MemoryReading how = memory_reading("chat", memory_flags_);
    MemorySource source = open_memories("chat", names, model, how.set);
    memory_ = {&method_named(source.method), {}};
    compressor_ = source.compressor;
    frame_ = memory_frame(*compressor_, *model.tokenizer, format, answer_);
    options_.ends = frame_->ends;
    book_.emplace(compressor_, std::move(source.passages), frame_->before, how.rule, how.room);
    return {names.names, [this] { return compressor_->open_reader(); },
            [this, tokenizer = model.tokenizer](const std::string& text) { return frame_->question(*tokenizer, text); },
            [this, tokenizer = model.tokenizer](const std::string& text, int64_t others) {
              read_book_ = false;
              auto stream = steno::open_book(*book_, text, std::max(others, compressor_->window() / 2), false,
                                             *tokenizer, !common_.quiet);
              if (!common_.quiet && !common_.json) fmt::print(stderr, "{}", reading_text(*book_, book_->reading(), {}));
              read_book_ = true;
              return stream;
            }};
  }

  void greet() const {
    if (common_.quiet) return;
    fmt::print(stderr, "{}, {}{}; /help lists the commands, Ctrl-D leaves\n", session_->model().name,
               memory_.method->name(),
               memory_.method->has_budget() && method_.budget ? " with " + plural(*method_.budget, "slot") : "");
    if (!session_->turns().empty()) {
      const ChatTurn& last = session_->turns().back();
      fmt::print(stderr, "{} so far; the last one:\n> {}\n{}\n",
                 plural(static_cast<int64_t>(session_->turns().size()), "turn"), last.user, last.assistant);
    }
  }

  void converse() {
    bool leaving = false;  // Ctrl-C was pressed, and nothing was said since
    for (;;) {
      InputLine line = input_->read("> ");
      if (terminated()) throw Interrupted("terminated after {}", turns_text());
      if (line.kind == InputLine::Kind::end) {
        if (terminal_ && !common_.json) fmt::print(stderr, "\n");
        return;
      }
      if (line.kind == InputLine::Kind::interrupted) {
        clear_interrupt();
        if (!terminal_) throw Interrupted("interrupted after {}", turns_text());
        fmt::print(stderr, "\n");
        if (leaving && !line.typed) return;
        leaving = !line.typed;
        if (leaving && !common_.quiet) fmt::print(stderr, "(Ctrl-C again or Ctrl-D leaves)\n");
        continue;
      }
      leaving = false;
      if (terminal_ && line.text.starts_with(kBlock) && !read_block(line)) continue;
      const ChatLine command = parse_chat_line(line.text);
      if (command.kind == ChatLine::Kind::quit) return;
      if (command.kind == ChatLine::Kind::text)
        leaving = !say(command.text);
      else
        obey(command);
      if (terminated()) throw Interrupted("terminated after {}", turns_text());
    }
  }

  // The lines up to the one that ends the block, as one text. False when Ctrl-C or the end came first.
  bool read_block(InputLine& line) {
    std::string text = line.text.substr(3);
    for (;;) {
      const size_t end = text.find(kBlock);
      if (end != std::string::npos) {
        line.text = text.substr(0, end);
        return true;
      }
      const InputLine next = input_->read("... ");
      if (next.kind == InputLine::Kind::interrupted) clear_interrupt();
      if (next.kind != InputLine::Kind::line) {
        fmt::print(stderr, "\n");
        return false;
      }
      text += "\n" + next.text;
    }
  }

  bool tells_spans() const { return read_book_ && !session_->turns().empty(); }
  std::string spans_text() const {
    return reading_text(*book_, book_->reading(), answer_bytes(session_->stream().accounting()));
  }
  Json all_stats() const {
    Json stats = stats_json(*session_, last_);
    if (tells_spans())
      stats["memories"] = reading_json(*book_, book_->reading(), answer_bytes(session_->stream().accounting()));
    return stats;
  }

  // False when Ctrl-C stopped it.
  bool say(const std::string& text) {
    const auto number = static_cast<int64_t>(session_->turns().size()) + 1;
    std::optional<Progress> progress;
    progress.emplace("reading", 0, false);
    bool written = false, broken = false;
    const auto on_reading = [&](int64_t done, int64_t total) {
      if (done < total && !shown_total_) {
        progress.emplace("reading", total, !common_.quiet);
        shown_total_ = true;
      }
      progress->update(done);
    };
    shown_total_ = false;
    const auto on_text = [&](std::string_view piece) {
      progress->clear();
      if (common_.json) return;
      broken = true;  // until it is out
      if (!written && !terminal_ && answered_) out_->write("\n");
      out_->write_text(piece);
      written = true;
      broken = false;
    };
    try {
      if (const size_t at = find_invalid_utf8(text); at != std::string_view::npos)
        throw InputError("[chat] this turn is no UTF-8 text: invalid byte at offset {}", at);
      last_ = session_->say(text, options_, on_text, on_reading);
    } catch (const Error& error) {
      progress.reset();
      if (broken) throw;  // nobody reads the answers any more
      clear_interrupt();
      if (written) out_->write("\n");
      failed("turn", error);
      return error.code() != ExitCode::interrupted;
    }
    progress.reset();
    clear_interrupt();
    answered_ = true;
    const ChatAnswer& answer = *last_;
    if (common_.json) {
      Json json = turn_json(number, text, answer, session_->stream());
      if (read_book_ && number == 1) {
        json["template"] = frame_->name;
        json["reading"] = reading_json(*book_, book_->reading(), answer_bytes(session_->stream().accounting()));
      }
      out_->write_json(json);
    } else {
      out_->write("\n");
    }
    comment(number, answer);
    log({{"turn", number},
         {"user", text},
         {"assistant", answer.generated.text},
         {"stop_reason", stop_reason_name(answer.generated.reason)},
         {"read_tokens", answer.read_tokens},
         {"answer_tokens", answer.answer_tokens}});
    return answer.generated.reason != StopReason::interrupted;
  }

  // What a reader may not expect of this turn.
  void comment(int64_t number, const ChatAnswer& answer) {
    const Accounting memory = session_->stream().accounting();
    if (answer.unread_tokens > 0)
      spdlog::warn("this turn is longer than the memory: {} of its {} were dropped before the answer began",
                   count_text(answer.unread_tokens), plural(answer.turn_tokens, "token"));
    if (answer.forgot_all && !told_forgotten_) {
      told_forgotten_ = true;
      spdlog::warn(
          "a turn and --max-new-tokens {} fill the whole memory, so nothing between its first slots and this "
          "turn was kept; take a larger --budget or a smaller --max-new-tokens",
          options_.max_new_tokens);
    }
    if (book_ && !told_span_ && memory.slots > compressor_->window()) {
      told_span_ = true;
      spdlog::warn(
          "this conversation now takes {} positions, and a reader of this memory may use {}; expect poor answers",
          count_text(memory.slots), count_text(compressor_->window()));
    }
    if (!book_ && !told_span_) {
      const ModelConfig& config = session_->model().decoder->config();
      told_span_ = config.max_positions > 0 &&
                   memory_.method->expected_slots(memory_.options, memory.source_tokens) > config.max_positions;
      if (told_span_) warn_about_span(memory_, config, memory.source_tokens);
    }
    if (common_.quiet || common_.json) return;
    if (answer.generated.reason == StopReason::interrupted)
      fmt::print(stderr, "(stopped)\n");
    else if (answer.generated.reason == StopReason::length && options_.max_new_tokens > 0)
      fmt::print(stderr, "(cut at --max-new-tokens {})\n", options_.max_new_tokens);
    if (common_.verbose) fmt::print(stderr, "{}\n", turn_line(number, answer, memory));
  }

  void obey(const ChatLine& line) {
    using Kind = ChatLine::Kind;
    switch (line.kind) {
      case Kind::stats:
        if (common_.json)
          out_->write_json({{"command", "stats"}, {"stats", all_stats()}});
        else
          fmt::print(stderr, "{}{}", stats_text(*session_, last_), tells_spans() ? spans_text() : "");
        return;
      case Kind::save:
        return attempt("save", line.text, [&] {
          session_->save(line.text);
          return fmt::format("saved {} to {}", turns_text(), line.text);
        });
      case Kind::load:
        return attempt("load", line.text, [&] {
          load_file(line.text);
          log({{"event", "load"}, {"file", line.text}, {"turns", session_->turns().size()}});
          return fmt::format("loaded {} from {}", turns_text(), line.text);
        });
      case Kind::reset:
        session_->reset();
        last_.reset();
        log({{"event", "reset"}});
        return done("reset", "everything is forgotten");
      case Kind::undo:
        if (!session_->undo()) return failed("undo", InputError("[chat] there is no turn that can be taken back"));
        last_.reset();
        log({{"event", "undo"}, {"turns", session_->turns().size()}});
        return done("undo", fmt::format("taken back; {} left", turns_text()));
      case Kind::help:
        if (common_.json)
          out_->write_json({{"command", "help"}, {"text", chat_help()}});
        else
          fmt::print(stderr, "{}", chat_help());
        return;
      case Kind::wrong:
        return failed("unknown", UsageError("[chat] {}", line.text));
      default:
        return;
    }
  }

  void load_file(const std::string& file) {
    session_->load(file);
    read_book_ = false;
    last_.reset();
    if (!answer_.system.empty() && session_->system() != answer_.system)
      spdlog::warn("the loaded conversation has its own system message; --system is not used");
  }

  template <class Action>
  void attempt(const char* command, const std::string& file, Action&& action) {
    try {
      const std::string said = action();
      done(command, said, file);
    } catch (const Error& error) {
      failed(command, error);
    }
  }
  void done(const char* command, const std::string& said, const std::string& file = "") {
    if (common_.json) {
      Json json = {{"command", command}, {"turns", session_->turns().size()}};
      if (!file.empty()) json["file"] = file;
      out_->write_json(json);
    } else if (!common_.quiet) {
      fmt::print(stderr, "{}\n", said);
    }
  }
  // One line; the conversation goes on.
  void failed(const char* command, const Error& error) {
    if (error.code() == ExitCode::interrupted)
      fmt::print(stderr, "\n({})\n", error.what());
    else
      spdlog::error("{}", error.what());
    if (common_.json) out_->write_json({{"command", command}, {"error", error.what()}});
  }

  void log(const Json& line) {
    if (log_) log_->append(line);
  }
  std::string turns_text() const { return plural(static_cast<int64_t>(session_->turns().size()), "turn"); }

  std::string load_, transcript_;
  int64_t undo_ = ChatLimits{}.undo_levels;
  MethodFlags method_;
  AnswerFlags answer_;

  StandardOutput* out_ = nullptr;
  GenerateOptions options_;
  std::vector<std::string> memory_files_;
  MemoryFlags memory_flags_;
  MemoryChoice memory_{};
  std::shared_ptr<const Compressor> compressor_;  // with --memory, as book_
  std::optional<MemoryFrame> frame_;              // likewise
  std::optional<MemoryBook> book_;
  bool read_book_ = false;  // what the book says of its reading is true of this conversation
  std::optional<ChatTranscript> log_;
  std::optional<ChatSession> session_;
  std::unique_ptr<ChatInput> input_;
  std::optional<ChatAnswer> last_;
  bool terminal_ = false, answered_ = false, told_span_ = false, told_forgotten_ = false, shown_total_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_chat(CLI::App& root) { return std::make_unique<Chat>(root); }

}  // namespace steno
