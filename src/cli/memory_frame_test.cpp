#include "cli/memory_frame.h"

#include <gtest/gtest.h>

#include "io/prompt.h"
#include "memory/compressor_test_util.h"

namespace steno {
namespace {

class Framed : public test::VerbatimCompressor {
 public:
  explicit Framed(std::optional<InstructionTemplate> stated)
      : VerbatimCompressor(nullptr, 8, 100), stated_(std::move(stated)) {}
  std::optional<InstructionTemplate> instruction_template() const override { return stated_; }

 private:
  std::optional<InstructionTemplate> stated_;
};

class MemoryFrameTest : public ::testing::Test {
 protected:
  MemoryFrame frame(const Framed& compressor, const AnswerFlags& flags) const {
    return memory_frame(compressor, *tokenizer_, ChatFormat::named("chatml"), flags);
  }
  std::vector<TokenId> plain(const std::string& text) const {
    return tokenizer_->encode(text, {.add_special = false, .parse_special = false});
  }

  std::shared_ptr<const Tokenizer> tokenizer_ =
      Tokenizer::from_json(STENO_SOURCE_DIR "/tests/data/stories260K/tokenizer.json");
};

TEST_F(MemoryFrameTest, WithoutATemplateItIsTheChatFormatAroundTheUsersText) {
  AnswerFlags flags;
  flags.system = "Be short.";
  const MemoryFrame got = frame(Framed({}), flags);
  EXPECT_EQ(got.name, "chatml");
  EXPECT_TRUE(got.ends.empty());
  // As a turn without a memory, whose two parts are encoded each by itself.
  const Frame around = user_frame(ChatFormat::named("chatml"), "Be short.");
  std::vector<TokenId> turn = got.before;
  const auto question = got.question(*tokenizer_, "Who?");
  turn.insert(turn.end(), question.begin(), question.end());
  EXPECT_EQ(turn, encode_turn(*tokenizer_, around, "Who?"));
}

TEST_F(MemoryFrameTest, ATemplateIsUsedUnlessAnotherFrameIsAskedFor) {
  const Framed compressor(InstructionTemplate{{5, 6}, {7}, 9});
  const MemoryFrame got = frame(compressor, {});
  EXPECT_EQ(got.name, "adapter");
  EXPECT_EQ(got.before, (std::vector<TokenId>{5, 6}));
  EXPECT_EQ(got.ends, (std::vector<TokenId>{9}));
  std::vector<TokenId> expected = plain("Who? <s>");  // spells a special token, and is none
  expected.push_back(7);
  EXPECT_EQ(got.question(*tokenizer_, "Who? <s>"), expected);
  AnswerFlags system, format;
  system.system = "Be short.";
  format.chat_format = "chatml";
  EXPECT_EQ(frame(compressor, system).name, "chatml");
  EXPECT_EQ(frame(compressor, format).name, "chatml");
  EXPECT_EQ(frame(Framed(InstructionTemplate{}), {}).name, "adapter") << "nothing around it is a template too";
}

}  // namespace
}  // namespace steno
