// One verb of the program: its flags, and what it does with them.
#pragma once
#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "cli/common_flags.h"
#include "cli/output.h"

namespace steno {

class Verb {
 public:
  // Adds the sub-command `name` with the common flags to `root`, which owns it.
  Verb(CLI::App& root, const std::string& name, const std::string& help) : app_(root.add_subcommand(name, help)) {
    app_->group("Verbs");
    add_common_flags(*app_, common_);
    // Unknown flags are reported by our own message, which knows the nearest one.
    app_->allow_extras();
  }
  virtual ~Verb() = default;
  Verb(const Verb&) = delete;
  Verb& operator=(const Verb&) = delete;

  // Flags are parsed and the configuration file is applied. Throws Error, ReaderGone.
  virtual void run(StandardOutput& out) = 0;

  CLI::App& app() { return *app_; }
  const CommonFlags& common() const { return common_; }

 protected:
  CLI::App* app_;
  CommonFlags common_;
};

std::unique_ptr<Verb> make_generate(CLI::App& root);
std::unique_ptr<Verb> make_tokenize(CLI::App& root);
std::unique_ptr<Verb> make_ask(CLI::App& root);
std::unique_ptr<Verb> make_chat(CLI::App& root);
std::unique_ptr<Verb> make_compress(CLI::App& root);
std::unique_ptr<Verb> make_memory(CLI::App& root);
std::unique_ptr<Verb> make_reconstruct(CLI::App& root);
std::unique_ptr<Verb> make_train(CLI::App& root);
std::unique_ptr<Verb> make_eval(CLI::App& root);
std::unique_ptr<Verb> make_report_verb(CLI::App& root);
std::unique_ptr<Verb> make_inspect(CLI::App& root);
std::unique_ptr<Verb> make_methods(CLI::App& root);

}  // namespace steno
