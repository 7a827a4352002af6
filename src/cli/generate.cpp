// steno generate: a prompt is continued.
#include "memory/generate.h"

#include <spdlog/spdlog.h>

#include "base/error.h"
#include "base/utf8.h"
#include "cli/accounting.h"
#include "cli/documents.h"
#include "cli/logprobs.h"
#include "cli/model_path.h"
#include "cli/progress.h"
#include "cli/reading.h"
#include "cli/verb.h"
#include "io/prompt.h"

namespace steno {
namespace {

class Generate : public Verb {
 public:
  explicit Generate(CLI::App& root) : Verb(root, "generate", "Continue a prompt") {
    app_->add_option("prompt-file,--prompt-file", file_, "file that holds the prompt, or - for standard input");
    app_->add_option("--prompt", prompt_, "the prompt itself");
    app_->add_flag("--chat", chat_, "the prompt is a user's message: apply the model's chat format");
    app_->add_flag("--echo", echo_, "print the prompt before its continuation");
    app_->add_option("--logprobs", logprobs_, "with --json: log-probabilities, and the K best tokens per position")
        ->type_name("K");
    add_method_flags(*app_, method_);
    add_answer_flags(*app_, answer_);
  }

  void run(StandardOutput& out) override {
    check();
    GenerateOptions options = generate_options(answer_, common_);
    const LoadOptions load = load_options(common_);
    const MemoryChoice memory = choose_memory("generate", method_);
    const std::string prompt = prompt_ ? *prompt_ : read_text("generate", file_);
    const Model model = load_model(find_model(common_.model), load);
    const std::vector<TokenId> ids = encode(model, prompt, options);
    if (ids.empty()) throw UsageError("[generate] the prompt is empty and this model has no BOS token to begin with");
    // generate() takes 0 as off; with K = 0 the chosen token's own is still wanted.
    options.logprobs = logprobs_ ? std::max<int64_t>(*logprobs_, 1) : 0;
    options.echo_logprobs = echo_ && logprobs_;

    const auto tokens = static_cast<int64_t>(ids.size());
    warn_about_span(memory, model.decoder->config(), tokens + options.max_new_tokens);
    const std::unique_ptr<Stream> stream = memory.method->open_stream(model.decoder, memory.options);
    RunReport report;
    report.read_tokens = tokens;
    const std::string shown_prompt = echo_ ? prompt : "";
    const Generated generated = run_model(out, *stream, model, ids, options, shown_prompt, report);

    if (common_.json) {
      Json json = {{"model", model.name},
                   {"method", memory.method->name()},
                   {"budget", method_.budget ? Json(*method_.budget) : Json()},
                   {"text", shown_prompt + generated.text},
                   {"tokens", generated.tokens},
                   {"prompt_tokens", tokens},
                   {"stop_reason", stop_reason_name(generated.reason)}};
      if (logprobs_)
        json["logprobs"] = logprobs_json(*model.tokenizer, echo_ ? ids : std::vector<TokenId>{}, generated, *logprobs_);
      json["accounting"] = report_json(report);
      out.write_json(json);
    } else {
      out.write("\n");
      if (!common_.quiet) fmt::print(stderr, "\n{}", report_text(report));
    }
    if (generated.reason == StopReason::interrupted)
      throw Interrupted("interrupted: {} tokens read, {} tokens written", tokens, generated.tokens.size());
  }

 private:
  void check() const {
    if (prompt_.has_value() == !file_.empty())
      throw UsageError("[generate] give {} --prompt TEXT or --prompt-file FILE (- is standard input)",
                       prompt_ ? "either" : "a prompt:");
    if (!answer_.system.empty() && !chat_) throw UsageError("[generate] --system needs --chat");
    if (!answer_.chat_format.empty() && !chat_) throw UsageError("[generate] --chat-format needs --chat");
    if (logprobs_ && (*logprobs_ < 0 || *logprobs_ > 100))
      throw UsageError("[generate] --logprobs must be 0 to 100, not {}", *logprobs_);
    if (logprobs_ && !common_.json) throw UsageError("[generate] --logprobs is part of the JSON; add --json");
    if (prompt_ && find_invalid_utf8(*prompt_) != std::string_view::npos)
      throw InputError("[generate] --prompt: is no UTF-8 text: invalid byte at offset {}", find_invalid_utf8(*prompt_));
  }

  std::vector<TokenId> encode(const Model& model, const std::string& prompt, GenerateOptions& options) const {
    if (!chat_) return model.tokenizer->encode(prompt);
    const ChatFormat format = choose_chat_format(*model.tokenizer, answer_.chat_format);
    options.stop.insert(options.stop.end(), format.stops().begin(), format.stops().end());
    return encode_turn(*model.tokenizer, user_frame(format, answer_.system), prompt);
  }

  Generated run_model(StandardOutput& out, Stream& stream, const Model& model, const std::vector<TokenId>& ids,
                      const GenerateOptions& options, const std::string& shown_prompt, RunReport& report) const {
    Progress progress("reading", report.read_tokens, !common_.quiet);
    const Stopwatch clock;
    const auto on_text = [&](std::string_view piece) {
      progress.clear();
      if (!common_.json) out.write_text(piece);
    };
    const auto on_prompt = [&](int64_t done) {
      progress.update(done);
      report.read_s = clock.seconds();
    };
    if (!common_.json) out.write(shown_prompt);
    try {
      Generated generated = generate(stream, model.tokenizer, ids, options, on_text, on_prompt);
      progress.clear();
      report.memory = stream.accounting();
      report.first_token_s = generated.first_token_s;
      report.decoded_tokens = generated.decoded_tokens;
      report.decode_s = generated.decode_s;
      return generated;
    } catch (const Interrupted&) {
      progress.clear();
      throw Interrupted("{}", interrupted_text(std::min(stream.tokens_seen(), report.read_tokens), report.read_tokens));
    }
  }

  std::string file_;
  std::optional<std::string> prompt_;
  bool chat_ = false, echo_ = false;
  std::optional<int64_t> logprobs_;
  MethodFlags method_;
  AnswerFlags answer_;
};

}  // namespace

std::unique_ptr<Verb> make_generate(CLI::App& root) { return std::make_unique<Generate>(root); }

}  // namespace steno
