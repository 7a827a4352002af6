#include "cli/chat_turns.h"

#include <algorithm>

#include "base/error.h"
#include "io/prompt.h"

namespace steno {
namespace {

// Stand for texts while the format is rendered. Private-use characters: no template contains or trims them.
constexpr const char* kFirst = "\uE000\uE001\uE000";
constexpr const char* kAnswer = "\uE000\uE002\uE000";
constexpr const char* kNext = "\uE000\uE003\uE000";

std::string behind(const std::string& rendered, std::string_view place) {
  const size_t at = rendered.find(place);
  TORCH_CHECK(at != std::string::npos, "the chat format does not show a message");
  return rendered.substr(at + place.size());
}

}  // namespace

ChatTurns::ChatTurns(std::shared_ptr<const Tokenizer> tokenizer, const ChatFormat& format, const std::string& system)
    : tokenizer_(std::move(tokenizer)) {
  const Frame frame = user_frame(format, system);
  first_ = frame.before;
  after_ = frame.after;
  add_special_ = frame.add_special;

  const std::string said = behind(format.render({{"user", kFirst}, {"assistant", kAnswer}}, false), kAnswer);
  later_ = behind(format.render({{"user", kFirst}, {"assistant", kAnswer}, {"user", kNext}}, true), kAnswer);
  later_.resize(later_.find(kNext));
  // An answer ends where the format's own end and the way on part, at the last special token of what they share: a cut
  // behind ordinary text could fall into a token.
  const auto shared =
      static_cast<size_t>(std::mismatch(said.begin(), said.end(), later_.begin(), later_.end()).first - said.begin());
  std::vector<TokenId> ids =
      tokenizer_->encode(std::string_view(later_).substr(0, shared), {.add_special = false, .parse_special = true});
  while (!ids.empty() && !tokenizer_->is_special(ids.back())) ids.pop_back();
  const std::vector<TokenId> whole = tokenizer_->encode(later_, {.add_special = false, .parse_special = true});
  if (whole.size() >= ids.size() && std::equal(ids.begin(), ids.end(), whole.begin())) close_ = std::move(ids);
}

std::vector<TokenId> ChatTurns::open(bool first, const std::string& text) const {
  if (first) return encode(first_, text, add_special_);
  std::vector<TokenId> ids = encode(later_, text, false);
  ids.erase(ids.begin(), ids.begin() + static_cast<int64_t>(close_.size()));
  return ids;
}

// The ids of the whole turn at once, unless the text then would name special tokens.
std::vector<TokenId> ChatTurns::encode(const std::string& before, const std::string& text, bool add_special) const {
  std::vector<TokenId> opening = tokenizer_->encode(before, {.add_special = add_special, .parse_special = true});
  std::vector<TokenId> closing = tokenizer_->encode(after_, {.add_special = false, .parse_special = true});
  const auto specials = [&](const std::vector<TokenId>& ids) {
    return std::count_if(ids.begin(), ids.end(), [&](TokenId id) { return tokenizer_->is_special(id); });
  };
  std::vector<TokenId> whole =
      tokenizer_->encode(before + text + after_, {.add_special = add_special, .parse_special = true});
  if (specials(whole) == specials(opening) + specials(closing)) return whole;
  const std::vector<TokenId> plain = tokenizer_->encode(text, {.add_special = false, .parse_special = false});
  opening.insert(opening.end(), plain.begin(), plain.end());
  opening.insert(opening.end(), closing.begin(), closing.end());
  return opening;
}

}  // namespace steno
