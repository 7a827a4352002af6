#include "cli/app.h"

#include <c10/util/Exception.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <cstring>
#include <new>

#include "base/error.h"
#include "base/interrupt.h"
#include "cli/config_file.h"
#include "cli/text.h"
#include "cli/verb.h"

namespace steno {
namespace {

std::vector<std::unique_ptr<Verb>> make_verbs(CLI::App& root) {
  std::vector<std::unique_ptr<Verb>> verbs;
  verbs.push_back(make_generate(root));
  verbs.push_back(make_ask(root));
  verbs.push_back(make_chat(root));
  verbs.push_back(make_compress(root));
  verbs.push_back(make_memory(root));
  verbs.push_back(make_reconstruct(root));
  verbs.push_back(make_train(root));
  verbs.push_back(make_eval(root));
  verbs.push_back(make_report_verb(root));
  verbs.push_back(make_tokenize(root));
  verbs.push_back(make_inspect(root));
  verbs.push_back(make_methods(root));
  return verbs;
}

std::string suggestion(const std::string& wrong, const std::vector<std::string>& known) {
  const std::string near = nearest(wrong, known);
  return near.empty() ? "" : fmt::format("; did you mean {}?", near);
}

[[noreturn]] void refuse_extra(const CLI::App& app, const std::string& extra) {
  const bool root = app.get_parent() == nullptr;
  const std::string command = root ? "steno" : "steno " + app.get_name();
  std::vector<std::string> known;
  if (extra.starts_with("-")) {
    const std::string flag = extra.substr(0, extra.find('='));
    for (const CLI::Option* option : app.get_options())
      for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
    throw UsageError("{}: unknown flag {}{} ('{} --help' lists them)", command, flag, suggestion(flag, known), command);
  }
  if (!root) throw UsageError("{}: unexpected argument '{}'", command, extra);
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
    known.push_back(verb->get_name());
  throw UsageError("steno: unknown verb '{}'{} ('steno --help' lists them)", extra, suggestion(extra, known));
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

// libtorch's CPU allocator throws the general error type, so only its words tell.
bool is_out_of_memory(const c10::Error& error) {
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error)) return true;
  const std::string_view text = error.what_without_backtrace();
  return text.find("can't allocate memory") != std::string_view::npos ||
         text.find("not enough memory") != std::string_view::npos;
}

class Program {
 public:
  Program() : root_("Long memory for language models: reads texts longer than the memory they are kept in.", "steno") {
    root_.set_version_flag("--version", std::string("steno ") + STENO_VERSION);
    root_.allow_extras();
    root_.get_formatter()->column_width(34);
    root_.get_formatter()->label("SUBCOMMAND", "VERB");
    verbs_ = make_verbs(root_);
    // After the first verb its name is no verb any more: 'eval reconstruct' names a task.
    root_.require_subcommand(0, 1);
    root_.footer(
        "'steno VERB --help' lists a verb's flags.\n"
        "Exit codes: 0 done, 2 wrong usage, 3 bad input, 4 memory or disk ran out or a file is in use, 130 interrupted.");
  }

  void run(int argc, const char* const* argv) {
    try {
      root_.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
      const auto parsed = root_.get_subcommands();
      return out_.write(parsed.empty() ? root_.help() : parsed.front()->help("steno"));
    } catch (const CLI::CallForVersion& version) {
      return out_.write(std::string(version.what()) + "\n");
    } catch (const CLI::ParseError& error) {
      const auto parsed = root_.get_subcommands();
      throw UsageError("{}: {}", parsed.empty() ? "steno" : "steno " + parsed.front()->get_name(),
                       first_line(error.what()));
    }
    if (!root_.remaining().empty()) refuse_extra(root_, root_.remaining().front());
    for (const auto& verb : verbs_) {
      if (!verb->app().parsed()) continue;
      if (!verb->app().remaining().empty()) refuse_extra(verb->app(), verb->app().remaining().front());
      if (!verb->common().config.empty()) apply_config_file(verb->common().config, root_, verb->app());
      json_ |= verb->common().json;
      verbose_ |= verb->common().verbose;
      apply_common_flags(verb->common());
      return verb->run(out_);
    }
    throw UsageError(
        "steno: name a verb: generate, ask, chat, compress, memory, reconstruct, train, eval, report, tokenize, "
        "inspect or methods ('steno --help' says more)");
  }

  // One line, and with --json the one object that was promised.
  int report(ExitCode code, const std::string& line) {
    if (code == ExitCode::interrupted)
      fmt::print(stderr, "steno: {}\n", line);
    else
      spdlog::error("{}", line);
    const int status = static_cast<int>(code);
    if (json_ && !out_.used()) try {
        out_.write_json(Json{{"error", line}, {"exit_code", status}});
      } catch (...) {
        // The line on standard error has to do.
      }
    return status;
  }

  StandardOutput& out() { return out_; }
  // Flags that have to work even when the parsing of the others fails.
  void note_early_flags(int argc, const char* const* argv) {
    for (int i = 1; i < argc; ++i) {
      json_ |= std::strcmp(argv[i], "--json") == 0;
      verbose_ |= std::strcmp(argv[i], "--verbose") == 0;
    }
  }
  bool verbose() const { return verbose_; }

 private:
  CLI::App root_;
  std::vector<std::unique_ptr<Verb>> verbs_;
  StandardOutput out_;
  bool json_ = false, verbose_ = false;
};

void log_to_stderr() {
  auto logger = spdlog::stderr_color_mt("steno");
  logger->set_pattern("steno: %^%l%$: %v");
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace

int run_app(int argc, const char* const* argv) {
  log_to_stderr();
  Program program;
  program.note_early_flags(argc, argv);
  try {
    program.run(argc, argv);
    program.out().close();
    return static_cast<int>(ExitCode::ok);
  } catch (const ReaderGone&) {
    return static_cast<int>(ExitCode::ok);
  } catch (const Error& error) {
    return program.report(error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return program.report(ExitCode::resource, "out of memory; take a smaller --budget, --chunk or model");
  } catch (const c10::Error& error) {
    if (is_out_of_memory(error))
      return program.report(ExitCode::resource, "out of memory; take a smaller --budget, --chunk or model (" +
                                                    first_line(error.what_without_backtrace()) + ")");
    return program.report(ExitCode::internal,
                          "internal error: " + (program.verbose() ? std::string(error.what())
                                                                  : first_line(error.what_without_backtrace()) +
                                                                        " (--verbose says more)"));
  } catch (const std::exception& error) {
    return program.report(ExitCode::internal, "internal error: " + (program.verbose() ? std::string(error.what())
                                                                                      : first_line(error.what())));
  }
}

}  // namespace steno
