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
  // By name: chatml, smollm, qwen (3), qwen-2.5, llama-2, llama-3, llama-3.1, mistral, mistral-v3, gemma, gemma-3,
  // phi-3, plain. Throws UsageError that lists them.
  static ChatFormat named(std::string_view name);
  // By the model's own template. Throws InputError that names --chat-format when it is not recognised.
  static ChatFormat detect(std::string_view chat_template);
  static const std::vector<std::string>& names();

  const std::string& name() const { return name_; }
  // The prompt text, equal to transformers' apply_chat_template(..., add_generation_prompt). Where the format begins
  // with BOS, the text holds it spelled out: encode with add_special = false, parse_special = true. llama-3.1 puts a
  // date in front; it is the fixed one of the published template (26 Jul 2024), so that prompts do not change
  // overnight. Throws InputError for a sequence of roles that the format does not know.
  std::string render(const std::vector<ChatMessage>& messages, bool add_generation_prompt) const;
  // Texts that end the assistant's turn ("<|im_end|>").
  const std::vector<std::string>& stops() const { return stops_; }

 private:
  struct Kind;  // one row of the list of formats in the .cpp
  static const std::vector<Kind>& kinds();
  explicit ChatFormat(const Kind& kind);

  const Kind* kind_;
  std::string name_;
  std::string default_system_;  // some templates put one where the conversation has none
  int variant_;                 // what published templates of one format do differently
  std::vector<std::string> stops_;
};

}  // namespace steno
