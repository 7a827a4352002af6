#include "eval/prompts/encoder.h"

#include <algorithm>

#include "base/error.h"
#include "io/prompt.h"

namespace steno {
namespace {

void append(std::vector<TokenId>& ids, const std::vector<TokenId>& more) {
  ids.insert(ids.end(), more.begin(), more.end());
}

}  // namespace

PromptEncoder::PromptEncoder(std::shared_ptr<const Tokenizer> tokenizer, const std::string& form)
    : tokenizer_(std::move(tokenizer)), id_(form) {
  if (form == "plain") {
    // BOS, where the model wants one; an EOS that some tokenizers add would end the text before the question.
    if (tokenizer_->adds_bos() && tokenizer_->bos()) head_ = {*tokenizer_->bos()};
    return;
  }
  chat_ = true;
  if (form == "chat" && tokenizer_->chat_template().empty())
    throw InputError("[eval] this model has no chat template; say --set form=plain, or name a chat format");
  const ChatFormat format = choose_chat_format(*tokenizer_, form == "chat" ? "" : form);
  id_ = "chat/" + format.name();
  stops_ = format.stops();
  const Frame frame = user_frame(format, "");
  head_ = tokenizer_->encode(frame.before, {.add_special = frame.add_special, .parse_special = true});
  tail_ = tokenizer_->encode(frame.after, {.add_special = false, .parse_special = true});
}

std::vector<TokenId> PromptEncoder::text(std::string_view text) const {
  return text.empty() ? std::vector<TokenId>{}
                      : tokenizer_->encode(text, {.add_special = false, .parse_special = false});
}

std::vector<TokenId> PromptEncoder::context(std::string_view text) const {
  std::vector<TokenId> ids = head_;
  append(ids, this->text(text));
  return ids;
}

std::vector<TokenId> PromptEncoder::question(const std::string& question, const std::string& answer_prefix) const {
  if (!chat_) return text(question + answer_prefix);
  std::vector<TokenId> ids = text(question);
  append(ids, tail_);
  // The assistant's turn begins with the prefix; the space between question and prefix is not part of it.
  append(ids, text(std::string_view(answer_prefix)
                       .substr(std::min(answer_prefix.find_first_not_of(" \n"), answer_prefix.size()))));
  return ids;
}

std::vector<TokenId> PromptEncoder::continuation(const std::string& before, const std::string& answer) const {
  const std::vector<TokenId> prefix = text(before), whole = text(before + answer);
  size_t same = 0;
  while (same < prefix.size() && same < whole.size() && prefix[same] == whole[same]) ++same;
  return {whole.begin() + static_cast<int64_t>(same), whole.end()};
}

std::vector<size_t> PromptEncoder::token_ends(const std::vector<TokenId>& ids, size_t text_bytes) const {
  std::vector<size_t> ends(ids.size(), 0);
  size_t bytes = 0;
  for (size_t i = head_.size(); i < ids.size(); ++i) ends[i] = bytes += tokenizer_->piece(ids[i]).size();
  const size_t extra = bytes > text_bytes ? bytes - text_bytes : 0;
  for (size_t i = head_.size(); i < ids.size(); ++i) ends[i] = ends[i] > extra ? ends[i] - extra : 0;
  return ends;
}

TokenRange PromptEncoder::range_of(const std::vector<size_t>& ends, size_t begin, size_t end) {
  const auto token_with = [&](size_t byte) {
    return static_cast<int64_t>(std::upper_bound(ends.begin(), ends.end(), byte) - ends.begin());
  };
  return {token_with(begin), token_with(end - 1)};
}

}  // namespace steno
