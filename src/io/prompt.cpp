#include "io/prompt.h"

#include "base/error.h"

namespace steno {
namespace {

// Stands for the user's text while the format is rendered. Private-use characters: no template contains or trims them.
constexpr std::string_view kPlace = "\uE000\uE001\uE000";

void append(std::vector<TokenId>& ids, const std::vector<TokenId>& more) {
  ids.insert(ids.end(), more.begin(), more.end());
}

// `text` is the user's, `after` the format's.
std::vector<TokenId> encode_end(const Tokenizer& tokenizer, const std::string& text, const std::string& after) {
  std::vector<TokenId> ids = tokenizer.encode(text, {.add_special = false, .parse_special = false});
  if (!after.empty()) append(ids, tokenizer.encode(after, {.add_special = false, .parse_special = true}));
  return ids;
}

}  // namespace

ChatFormat choose_chat_format(const Tokenizer& tokenizer, const std::string& flag) {
  if (!flag.empty()) return ChatFormat::named(flag);
  if (tokenizer.chat_template().empty()) return ChatFormat::named("plain");
  return ChatFormat::detect(tokenizer.chat_template());
}

Frame user_frame(const ChatFormat& format, const std::string& system) {
  std::vector<ChatMessage> messages;
  if (!system.empty()) messages.push_back({"system", system});
  messages.push_back({"user", std::string(kPlace)});
  const std::string rendered = format.render(messages, true);
  const size_t at = rendered.find(kPlace);
  if (at == std::string::npos) throw InputError("[chat] the format {} does not show the user's text", format.name());
  return {rendered.substr(0, at), rendered.substr(at + kPlace.size()), format.name() == "plain"};
}

std::vector<TokenId> encode_turn(const Tokenizer& tokenizer, const Frame& frame, const std::string& text) {
  std::vector<TokenId> ids = tokenizer.encode(frame.before, {.add_special = frame.add_special, .parse_special = true});
  append(ids, encode_end(tokenizer, text, frame.after));
  return ids;
}

const Wording& ask_wording() {
  // Of several wordings this one made small models keep closest to the text.
  static const Wording wording{"ask-1", "Text:\n\n", "\n\nAnswer this question from the text: ", ""};
  return wording;
}

std::vector<TokenId> encode_document(const Tokenizer& tokenizer, const Frame& frame, const std::string& document,
                                     const Wording& wording) {
  std::vector<TokenId> ids =
      tokenizer.encode(frame.before + wording.introduction, {.add_special = frame.add_special, .parse_special = true});
  // The question brings its own line breaks.
  const size_t end = document.find_last_not_of(" \t\r\n") + 1;
  append(ids,
         tokenizer.encode(std::string_view(document).substr(0, end), {.add_special = false, .parse_special = false}));
  return ids;
}

std::vector<TokenId> encode_question(const Tokenizer& tokenizer, const Frame& frame, const std::string& question,
                                     const Wording& wording) {
  return encode_end(tokenizer, wording.question + question, frame.after + (frame.add_special ? wording.answer : ""));
}

}  // namespace steno
