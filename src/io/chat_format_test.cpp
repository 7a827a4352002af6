// Prompts against transformers' (tests/golden/make_chat_prompts.py).
#include "io/chat_format.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"

namespace steno {
namespace {

TEST(ChatFormat, PromptsOfTransformers) {
  std::set<std::string> seen;
  for (const auto& file : std::filesystem::directory_iterator(STENO_SOURCE_DIR "/tests/data/chat")) {
    if (file.path().extension() != ".json") continue;
    SCOPED_TRACE(file.path().filename().string());
    const auto tree = nlohmann::json::parse(std::ifstream(file.path()));
    const ChatFormat format = ChatFormat::detect(tree["template"].get<std::string>());
    EXPECT_EQ(format.name(), tree["format"]);
    seen.insert(format.name());
    int rendered = 0;
    for (const auto& one : tree["cases"]) {
      std::vector<ChatMessage> messages;
      bool has_system = false;
      for (const auto& message : one["messages"]) {
        messages.push_back({message["role"], message["content"]});
        has_system |= message["role"] == "system";
      }
      const bool generate = one["add_generation_prompt"];
      // Where a template leaves a system message out without a word, steno refuses it.
      const bool drops = !one["expected"].is_null() && has_system &&
                         one["expected"].get<std::string>().find("Be brief.") == std::string::npos;
      if (one["expected"].is_null() || drops) {
        EXPECT_THROW(format.render(messages, generate), InputError) << one["messages"];
        continue;
      }
      EXPECT_EQ(format.render(messages, generate), one["expected"].get<std::string>()) << one["messages"];
      ++rendered;
    }
    EXPECT_GE(rendered, 8);
  }
  // Every format but the one without a template.
  EXPECT_EQ(seen.size() + 1, ChatFormat::names().size());
}

TEST(ChatFormat, NamedIsThePublishedForm) {
  for (const std::string& name : ChatFormat::names()) EXPECT_EQ(ChatFormat::named(name).name(), name);
  EXPECT_EQ(ChatFormat::named("smollm").render({{"user", "Hi"}}, true),
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(ChatFormat::named("plain").render({{"system", "A"}, {"user", "B"}}, true), "A\nB\n");
  EXPECT_EQ(ChatFormat::named("chatml").stops(), std::vector<std::string>{"<|im_end|>"});
}

TEST(ChatFormat, UnknownOnesNameTheFlag) {
  EXPECT_THROW(ChatFormat::named("alpaca"), UsageError);
  for (const char* text : {"", "{{ messages }}", "[SYSTEM_PROMPT] [INST] [/INST]", "<|im_start|>"}) {
    try {
      ChatFormat::detect(text);
      ADD_FAILURE() << text;
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find("--chat-format"), std::string::npos) << error.what();
    }
  }
}

TEST(ChatFormat, RolesAreChecked) {
  for (const std::string& name : ChatFormat::names())
    EXPECT_THROW(ChatFormat::named(name).render({{"tool", "x"}}, true), InputError) << name;
}

}  // namespace
}  // namespace steno
