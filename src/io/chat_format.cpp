#include "io/chat_format.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "io/shown.h"
#include "io/unicode.h"

namespace steno {
namespace {

using Messages = std::vector<ChatMessage>;

// What a renderer is told about the template at hand.
struct Context {
  const std::string& format;
  const std::string& default_system;
  int variant;
  bool generate;
};

enum MistralVariant { kMistralPlain = 0, kMistralSpaceAfterEos = 1, kMistralSystem = 2 };
enum PhiVariant { kPhiBos = 1, kPhiUserOpensAssistant = 2, kPhiEos = 4 };

// Python's str.strip().
std::string_view trim(std::string_view text) {
  const auto is_space = [](int32_t c) { return is_white_space(c) || (c >= 0x1C && c <= 0x1F); };
  size_t begin = text.size(), end = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t here = at;
    at = std::min(at + character_length(text[at]), text.size());
    size_t ignored = 0;
    const std::string_view one = text.substr(here, at - here);
    if (one.size() == character_length(one[0]) && is_space(next_character(one, ignored))) continue;
    begin = std::min(begin, here);
    end = at;
  }
  return begin < end ? text.substr(begin, end - begin) : std::string_view{};
}

std::string_view trim_newlines(std::string_view text, bool right = true) {
  while (text.starts_with('\n')) text.remove_prefix(1);
  while (right && text.ends_with('\n')) text.remove_suffix(1);
  return text;
}

[[noreturn]] void refuse_system(const Context& context) {
  throw InputError("[chat] the format {} has no place for a system message; put it into the first user message",
                   context.format);
}

// The conversation behind its system message must go user, assistant, user, ...
void check_turns(const Messages& messages, size_t first, const Context& context) {
  if (first == 1 && messages.size() == 1)
    throw InputError("[chat] the format {} writes the system message into a user message; there is none",
                     context.format);
  for (size_t i = first; i < messages.size(); ++i)
    if ((messages[i].role == "user") != ((i - first) % 2 == 0))
      throw InputError("[chat] the format {} wants user and assistant in turns; message {} is '{}'", context.format, i,
                       messages[i].role);
}

bool has_system(const Messages& messages) { return !messages.empty() && messages[0].role == "system"; }

std::string render_chatml(const Messages& messages, const Context& context) {
  std::string out;
  if (!context.default_system.empty() && !messages.empty() && !has_system(messages))
    out += "<|im_start|>system\n" + context.default_system + "<|im_end|>\n";
  for (const auto& [role, content] : messages) out += "<|im_start|>" + role + "\n" + content + "<|im_end|>\n";
  if (context.generate) out += "<|im_start|>assistant\n";
  return out;
}

// Thoughts of earlier turns are left out; the answers behind the last question carry theirs, be they empty.
std::string render_qwen3(const Messages& messages, const Context& context) {
  size_t last_query = messages.empty() ? 0 : messages.size() - 1;
  for (size_t i = messages.size(); i-- > 0;) {
    const std::string& content = messages[i].content;
    if (messages[i].role != "user" || (content.starts_with("<tool_response>") && content.ends_with("</tool_response>")))
      continue;
    last_query = i;
    break;
  }
  std::string out;
  for (size_t i = 0; i < messages.size(); ++i) {
    const auto& [role, text] = messages[i];
    out += "<|im_start|>" + role + "\n";
    if (role != "assistant") {
      out += text + "<|im_end|>\n";
      continue;
    }
    std::string_view content = text, thoughts;
    constexpr std::string_view kOpen = "<think>", kClose = "</think>";
    if (const size_t last = content.rfind(kClose); last != std::string_view::npos) {
      thoughts = trim_newlines(content.substr(0, content.find(kClose)));
      if (const size_t open = thoughts.rfind(kOpen); open != std::string_view::npos)
        thoughts = trim_newlines(thoughts.substr(open + kOpen.size()), false);
      content = trim_newlines(content.substr(last + kClose.size()), false);
    }
    if (i > last_query && (i + 1 == messages.size() || !thoughts.empty()))
      out += fmt::format("<think>\n{}\n</think>\n\n{}", trim_newlines(thoughts), trim_newlines(content, false));
    else
      out += content;
    out += "<|im_end|>\n";
  }
  if (context.generate) out += "<|im_start|>assistant\n";
  return out;
}

std::string render_llama2(const Messages& messages, const Context& context) {
  const size_t first = has_system(messages) ? 1 : 0;
  check_turns(messages, first, context);
  std::string out;
  for (size_t i = first; i < messages.size(); ++i) {
    const auto& [role, content] = messages[i];
    if (role == "assistant") {
      out += fmt::format(" {} </s>", trim(content));
      continue;
    }
    const std::string system = i == 1 && first == 1 ? "<<SYS>>\n" + messages[0].content + "\n<</SYS>>\n\n" : "";
    out += fmt::format("<s>[INST] {} [/INST]", trim(system + content));
  }
  return out;
}

std::string llama3_turn(std::string_view role, std::string_view content) {
  return fmt::format("<|start_header_id|>{}<|end_header_id|>\n\n{}<|eot_id|>", role, content);
}

std::string render_llama3(const Messages& messages, const Context& context) {
  std::string out = messages.empty() ? "" : "<|begin_of_text|>";
  for (const auto& [role, content] : messages) out += llama3_turn(role, trim(content));
  if (context.generate) out += "<|start_header_id|>assistant<|end_header_id|>\n\n";
  return out;
}

std::string render_llama31(const Messages& messages, const Context& context) {
  const size_t first = has_system(messages) ? 1 : 0;
  std::string out = "<|begin_of_text|>";
  out += llama3_turn("system", fmt::format("Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n{}",
                                           first ? trim(messages[0].content) : ""));
  for (size_t i = first; i < messages.size(); ++i) out += llama3_turn(messages[i].role, trim(messages[i].content));
  if (context.generate) out += "<|start_header_id|>assistant<|end_header_id|>\n\n";
  return out;
}

std::string render_mistral(const Messages& messages, const Context& context) {
  const bool takes_system = context.variant == kMistralSystem;
  const size_t first = has_system(messages) ? 1 : 0;
  if (first && !takes_system) refuse_system(context);
  check_turns(messages, first, context);
  const std::string_view space = takes_system ? " " : "";
  std::string out = "<s>";
  for (size_t i = first; i < messages.size(); ++i) {
    const auto& [role, content] = messages[i];
    if (role == "assistant") {
      out += fmt::format("{}{}</s>{}", space, content, context.variant == kMistralSpaceAfterEos ? " " : "");
    } else {
      const std::string system = i == 1 && first ? messages[0].content + "\n\n" : "";
      out += fmt::format("{}[INST] {}{} [/INST]", space, system, content);
    }
  }
  return out;
}

// The system message stands in the last user message.
std::string render_mistral3(const Messages& messages, const Context& context) {
  const size_t first = has_system(messages) ? 1 : 0;
  check_turns(messages, first, context);
  std::string out = "<s>";
  for (size_t i = first; i < messages.size(); ++i) {
    const auto& [role, content] = messages[i];
    if (role == "assistant") {
      out += fmt::format(" {}</s>", trim(content));
    } else {
      const std::string system = i + 1 == messages.size() && first ? messages[0].content + "\n\n" : "";
      out += fmt::format("[INST] {}{}[/INST]", system, content);
    }
  }
  if (first && messages.back().role != "user")
    throw InputError("[chat] the format {} puts the system message into the last message, which must be the user's",
                     context.format);
  return out;
}

std::string render_gemma_turns(const Messages& messages, size_t first, std::string_view prefix,
                               const Context& context) {
  check_turns(messages, first, context);
  std::string out = "<bos>";
  for (size_t i = first; i < messages.size(); ++i) {
    const std::string_view role = messages[i].role == "assistant" ? "model" : "user";
    out += fmt::format("<start_of_turn>{}\n{}{}<end_of_turn>\n", role, i == first ? prefix : "",
                       trim(messages[i].content));
  }
  if (context.generate) out += "<start_of_turn>model\n";
  return out;
}

std::string render_gemma(const Messages& messages, const Context& context) {
  if (has_system(messages)) refuse_system(context);
  return render_gemma_turns(messages, 0, "", context);
}

std::string render_gemma3(const Messages& messages, const Context& context) {
  if (!has_system(messages)) return render_gemma_turns(messages, 0, "", context);
  return render_gemma_turns(messages, 1, messages[0].content + "\n\n", context);
}

std::string render_phi3(const Messages& messages, const Context& context) {
  std::string out = context.variant & kPhiBos ? "<s>" : "";
  const bool opens = context.variant & kPhiUserOpensAssistant;
  for (const auto& [role, content] : messages) {
    if (opens && role == "system") refuse_system(context);
    if (opens && role == "assistant")
      out += content + "<|end|>\n";
    else
      out += "<|" + role + "|>\n" + content + "<|end|>\n";
    if (opens && role == "user") out += "<|assistant|>\n";
  }
  if (!opens && context.generate) out += "<|assistant|>\n";
  if (!context.generate && (context.variant & kPhiEos)) out += "<|endoftext|>";
  return out;
}

// For models without a chat format: the texts, one below the other.
std::string render_plain(const Messages& messages, const Context& context) {
  std::string out;
  for (const auto& message : messages) out += message.content + "\n";
  if (!context.generate && !out.empty()) out.pop_back();
  return out;
}

// The system text that a ChatML template writes itself, as a literal: '<|im_start|>system\n...<|im_end|>'.
std::string chatml_default_system(std::string_view chat_template) {
  for (const std::string_view opening : {"<|im_start|>system\\n", "<|im_start|>system\n"}) {
    for (size_t at = chat_template.find(opening); at != std::string_view::npos;
         at = chat_template.find(opening, at + 1)) {
      const std::string_view rest = chat_template.substr(at + opening.size());
      const std::string_view text = rest.substr(0, rest.find("<|im_end|>"));
      if (!text.empty() && text.size() < rest.size() && text.find_first_of("'\"{}\\\n#") == std::string_view::npos)
        return std::string(text);
    }
  }
  return {};
}

constexpr char kSmolLmSystem[] = "You are a helpful AI assistant named SmolLM, trained by Hugging Face";
constexpr char kQwen25System[] = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.";

}  // namespace

struct ChatFormat::Kind {
  const char* name;
  std::string (*render)(const Messages& messages, const Context& context);
  std::vector<std::string> stops;
  std::string default_system;
  int variant = 0;
};

const std::vector<ChatFormat::Kind>& ChatFormat::kinds() {
  static const std::vector<Kind> list = {
      {"chatml", render_chatml, {"<|im_end|>"}},
      {"smollm", render_chatml, {"<|im_end|>"}, kSmolLmSystem},
      {"qwen", render_qwen3, {"<|im_end|>"}},
      {"qwen-2.5", render_chatml, {"<|im_end|>"}, kQwen25System},
      {"llama-2", render_llama2, {"</s>"}},
      {"llama-3", render_llama3, {"<|eot_id|>"}},
      {"llama-3.1", render_llama31, {"<|eot_id|>"}},
      {"mistral", render_mistral, {"</s>"}},
      {"mistral-v3", render_mistral3, {"</s>"}},
      {"gemma", render_gemma, {"<end_of_turn>"}},
      {"gemma-3", render_gemma3, {"<end_of_turn>"}},
      {"phi-3", render_phi3, {"<|end|>"}, "", kPhiEos},
      {"plain", render_plain, {}},
  };
  return list;
}

ChatFormat::ChatFormat(const Kind& kind)
    : kind_(&kind),
      name_(kind.name),
      default_system_(kind.default_system),
      variant_(kind.variant),
      stops_(kind.stops) {}

const std::vector<std::string>& ChatFormat::names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const Kind& kind : kinds()) list.emplace_back(kind.name);
    return list;
  }();
  return names;
}

ChatFormat ChatFormat::named(std::string_view name) {
  for (const Kind& kind : kinds())
    if (kind.name == name) return ChatFormat(kind);
  throw UsageError("unknown chat format '{}'; known: {}", shown(name), fmt::join(names(), ", "));
}

ChatFormat ChatFormat::detect(std::string_view chat_template) {
  const auto has = [&](std::string_view part) { return chat_template.find(part) != std::string_view::npos; };
  if (has("<|im_start|>") && has("<|im_end|>")) {
    if (has("last_query_index")) return named("qwen");
    if (has(kQwen25System)) return named("qwen-2.5");
    if (!has("<think>") && !has("enable_thinking")) {
      ChatFormat format = named(has(kSmolLmSystem) ? "smollm" : "chatml");
      format.default_system_ = chatml_default_system(chat_template);
      return format;
    }
  }
  if (has("<|start_header_id|>")) return named(has("Cutting Knowledge Date") ? "llama-3.1" : "llama-3");
  if (has("<start_of_turn>")) return named(has("first_user_prefix") ? "gemma-3" : "gemma");
  if (has("<<SYS>>")) return named("llama-2");
  if (has("[INST]") && !has("[SYSTEM_PROMPT]")) {
    if (!has(" [/INST]")) return named("mistral-v3");
    ChatFormat format = named("mistral");
    if (has("\" [INST] \"") || has("' [INST] '"))
      format.variant_ = kMistralSystem;
    else if (has("eos_token + ' '") || has("eos_token + \" \""))
      format.variant_ = kMistralSpaceAfterEos;
    return format;
  }
  if (has("<|user|>") && has("<|assistant|>") && has("<|end|>")) {
    ChatFormat format = named("phi-3");
    format.variant_ = (has("bos_token") ? kPhiBos : 0) | (has("add_generation_prompt") ? 0 : kPhiUserOpensAssistant) |
                      (has("eos_token") ? kPhiEos : 0);
    return format;
  }
  throw InputError("[chat] the model's chat template {}; name one with --chat-format ({})",
                   chat_template.empty() ? "is missing" : "is none that steno knows", fmt::join(names(), ", "));
}

std::string ChatFormat::render(const Messages& messages, bool add_generation_prompt) const {
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string& role = messages[i].role;
    if (role != "system" && role != "user" && role != "assistant")
      throw InputError("[chat] message {} has the role '{}'; known: system, user, assistant", i, shown(role));
  }
  return kind_->render(messages, {name_, default_system_, variant_, add_generation_prompt});
}

}  // namespace steno
