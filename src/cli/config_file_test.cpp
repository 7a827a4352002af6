#include "cli/config_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>

#include "base/error.h"
#include "base/files_test_util.h"

namespace steno {
namespace {

using test::TemporaryFolder;
using testing::ElementsAre;
using testing::HasSubstr;

// Two verbs with one flag of every kind.
class ConfigFile : public testing::Test {
 protected:
  ConfigFile() {
    ask_ = root_.add_subcommand("ask");
    ask_->add_option("--budget", budget_);
    ask_->add_option("--top-p", top_p_);
    ask_->add_option("--method", method_);
    ask_->add_option("--question", questions_)->allow_extra_args(false);
    ask_->add_option("--param", params_)->allow_extra_args(false);
    ask_->add_flag("--json", json_);
    root_.add_subcommand("inspect")->add_flag("--all", all_);
  }

  // "" when all is well, else exit code and message.
  std::string apply(const std::string& toml, std::vector<const char*> arguments = {}) {
    arguments.insert(arguments.begin(), {"steno", "ask"});
    root_.parse(static_cast<int>(arguments.size()), arguments.data());
    try {
      apply_config_file(folder_.file("steno.toml", toml), root_, *ask_);
    } catch (const Error& error) {
      return fmt::format("{}: {}", static_cast<int>(error.code()), error.what());
    }
    return "";
  }

  TemporaryFolder folder_;
  CLI::App root_{"", "steno"};
  CLI::App* ask_;
  int64_t budget_ = 1;
  double top_p_ = 1;
  std::string method_ = "dense";
  std::vector<std::string> questions_, params_;
  bool json_ = false, all_ = false;
};

TEST_F(ConfigFile, SetsFlagsOfEveryKind) {
  EXPECT_EQ(apply("budget = 256\ntop-p = 0.5\njson = true\n[ask]\nmethod = 'window'\nquestion = ['a?', 'b?']\n"
                  "param = { sinks = 4, order = 'evict-first' }\n[inspect]\nall = true\n"),
            "");
  EXPECT_EQ(budget_, 256);
  EXPECT_EQ(top_p_, 0.5);
  EXPECT_TRUE(json_);
  EXPECT_EQ(method_, "window");
  EXPECT_THAT(questions_, ElementsAre("a?", "b?"));
  EXPECT_THAT(params_, testing::UnorderedElementsAre("sinks=4", "order=evict-first"));
  EXPECT_FALSE(all_) << "another verb's table is checked, not applied";
}

TEST_F(ConfigFile, TheCommandLineWins) {
  EXPECT_EQ(apply("budget = 256\nmethod = 'window'\n", {"--budget", "7"}), "");
  EXPECT_EQ(budget_, 7);
  EXPECT_EQ(method_, "window");
}

TEST_F(ConfigFile, TablesAreJoinedKeyByKey) {
  EXPECT_EQ(apply("param = { sinks = 4, order = 'evict-first', order_2 = 1 }\n",
                  {"--param", "order=other", "--param", "x=1"}),
            "");
  EXPECT_THAT(params_, testing::UnorderedElementsAre("order=other", "x=1", "sinks=4", "order_2=1"));
}

TEST_F(ConfigFile, UnknownKeysAreNamed) {
  const std::string message = apply("method = 'window'\nbugdet = 256\n");
  EXPECT_THAT(message, HasSubstr("2: [config] "));
  EXPECT_THAT(message, HasSubstr("steno.toml:2: 'bugdet' is an unknown key"));
  EXPECT_THAT(message, HasSubstr("did you mean 'budget'?"));
}

TEST_F(ConfigFile, UnknownKeysInAnotherVerbsTableAreNamed) {
  EXPECT_THAT(apply("[inspect]\nal = true\n"), HasSubstr("'al' is an unknown key: steno inspect has no flag --al"));
}

TEST_F(ConfigFile, UnknownTableIsAnUnknownKey) {
  EXPECT_THAT(apply("[akk]\nx = 1\n"), HasSubstr("'akk' is an unknown key"));
}

TEST_F(ConfigFile, ValuesMustFit) {
  EXPECT_THAT(apply("budget = 'many'\n"), HasSubstr("'budget'"));
  EXPECT_THAT(apply("json = 3\n"), HasSubstr("'json': must be true or false"));
  EXPECT_THAT(apply("method = 1979-05-27\n"), HasSubstr("'method': must be a text, a number or true/false"));
}

TEST_F(ConfigFile, EmptyFileChangesNothing) {
  EXPECT_EQ(apply(""), "");
  EXPECT_EQ(budget_, 1);
}

TEST_F(ConfigFile, NoTomlIsBadInput) {
  EXPECT_THAT(apply("method = '\xff'\n"), HasSubstr("3: [config] "));
  EXPECT_THAT(apply("budget = = 3\n"), HasSubstr("3: [config] "));
  EXPECT_THROW(apply_config_file("/nonexistent/steno.toml", root_, *ask_), InputError);
}

}  // namespace
}  // namespace steno
