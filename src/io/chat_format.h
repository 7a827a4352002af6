// Conversations as prompts, in the formats that models were trained on. The Jinja template is only recognised, not run.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace steno {

struct ChatMessage {
  std::string role;  // "system", "user" or "assistant"
  std::string content;
};

class ChatFormat {
 public:
  // By name: chatml, smollm, qwen, llama-2, llama-3, mistral, gemma, phi-3, plain. Throws UsageError that lists them.
  static ChatFormat named(std::string_view name);
  // By the model's own template. Throws InputError that names --chat-format when it is not recognised.
  static ChatFormat detect(std::string_view chat_template);
  static const std::vector<std::string>& names();

  const std::string& name() const { return name_; }
  // The prompt text, equal to transformers' apply_chat_template(..., add_generation_prompt). Where the format begins
  // with BOS, the text holds it spelled out: encode with add_special = false, parse_special = true.
  // Throws InputError for a sequence of roles that the format does not know.
  std::string render(const std::vector<ChatMessage>& messages, bool add_generation_prompt) const;
  // Texts that end the assistant's turn ("<|im_end|>").
  const std::vector<std::string>& stops() const { return stops_; }

 private:
  std::string name_;
  std::string default_system_;  // some templates put one where the conversation has none
  std::vector<std::string> stops_;
};

}  // namespace steno
