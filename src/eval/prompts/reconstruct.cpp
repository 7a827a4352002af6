#include "eval/prompts/reconstruct.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <sstream>

#include "base/error.h"
#include "base/utf8.h"
#include "eval/prompts/draw.h"
#include "io/prompt.h"

namespace steno {
namespace {

const std::vector<std::pair<TextKind, std::string>> kKinds = {
    {TextKind::natural, "natural"}, {TextKind::shuffled, "shuffled"}, {TextKind::random, "random"}};

constexpr const char* kPlace = "\uE000\uE001";  // private-use characters, which no format contains

// Of different kinds, so that what they have in common is the copying: words without order, speech, names, numbers.
const std::vector<std::string> kDemonstrations = {
    "marble the under 731 window of quickly Trent basket seven",
    "On Tuesday, 14 boxes of copper wire were sent to Mrs. Hale in Dover; two of them never came. The clerk, who had "
    "signed for all of them, said that he counted badly.",
    "lamp 58 oar thick, quilt ferry Yusuf not; river anvil. 902 whistle",
    "\"You will not find the map,\" she said, \"because there never was one.\" The boys looked at the wall, at the "
    "floor, and then at the door that stood open behind her.",
    "old of Greta tunnel, 44 kite umbrella the because stove; parrot",
    "The mill was built in 1823 of grey stone from the quarry at Aske. Its wheel turned until the flood."};

// Ids that decode to the same text wherever they stand, so that texts can be compared as well as ids.
bool is_plain_token(const Tokenizer& tokenizer, TokenId id) {
  if (tokenizer.is_special(id)) return false;
  const std::string piece = tokenizer.piece(id);
  return !piece.empty() && find_invalid_utf8(piece) == std::string_view::npos &&
         std::all_of(piece.begin(), piece.end(), [](char c) { return static_cast<uint8_t>(c) >= 0x20 && c != 0x7F; });
}

std::vector<TokenId> random_tokens(const Tokenizer& tokenizer, size_t n, Random& random) {
  std::vector<TokenId> ids;
  for (size_t tries = 0; ids.size() < n; ++tries) {
    if (tries > 1000 * (n + 1)) throw InputError("[reconstruct] the vocabulary has hardly any plain tokens");
    const auto id = static_cast<TokenId>(random.below(static_cast<uint64_t>(tokenizer.vocab_size())));
    if (is_plain_token(tokenizer, id)) ids.push_back(id);
  }
  return ids;
}

std::string shuffled_words(const std::string& text, Random& random) {
  std::istringstream in(text);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  shuffle(words, random);
  return fmt::format("{}", fmt::join(words, " "));
}

std::vector<TokenId> text_tokens(const PromptEncoder& encoder, const Filler& source, TextKind kind, size_t n,
                                 Random& random) {
  if (kind == TextKind::random) return random_tokens(encoder.tokenizer(), n, random);
  const size_t start = source.random_start(random);
  std::vector<TokenId> ids;
  for (size_t bytes = 8 * n; ids.size() < n; bytes *= 2) ids = encoder.text(source.take(bytes, start));
  ids.resize(n);
  if (kind == TextKind::natural) return ids;
  // Shuffled words take other tokens than running ones; the text to shuffle grows until they are enough.
  std::vector<TokenId> shuffled;
  for (size_t words_of = n; shuffled.size() < n; words_of += words_of / 4 + 1) {
    std::vector<TokenId> longer = encoder.text(source.take(8 * words_of, start));
    longer.resize(std::min(words_of, longer.size()));
    Random order = random;
    shuffled = encoder.text(shuffled_words(encoder.tokenizer().decode(longer), order));
  }
  shuffled.resize(n);
  return shuffled;
}

// A cut between tokens can fall inside a character; such a text is drawn again, since it could not be compared as text.
std::vector<TokenId> whole_text_tokens(const PromptEncoder& encoder, const Filler& source, const ReconstructSpec& spec,
                                       Random& random) {
  const Tokenizer& tokenizer = encoder.tokenizer();
  for (int i = 0; i < 1000; ++i) {
    std::vector<TokenId> ids = text_tokens(encoder, source, spec.kind, static_cast<size_t>(spec.tokens), random);
    const auto hint = ids.begin() + spec.hint_tokens;
    const std::vector<TokenId> head(ids.begin(), hint), rest(hint, ids.end());
    if (find_invalid_utf8(tokenizer.decode(head)) == std::string_view::npos &&
        find_invalid_utf8(tokenizer.decode(rest)) == std::string_view::npos)
      return ids;
  }
  throw InputError("[reconstruct] {}: found no {} tokens that begin and end between characters", source.name(),
                   spec.tokens);
}

}  // namespace

const char* text_kind_name(TextKind kind) {
  for (const auto& [known, name] : kKinds)
    if (known == kind) return name.c_str();
  return "";
}

TextKind text_kind_named(const std::string& name) {
  std::vector<std::string> names;
  for (const auto& [kind, known] : kKinds) {
    if (known == name) return kind;
    names.push_back(known);
  }
  throw UsageError("[reconstruct] there is no text '{}'; there are: {}", name, fmt::join(names, ", "));
}

CopyFrame copy_frame(const Tokenizer& tokenizer, const std::string& form, int64_t demonstrations,
                     const std::string& trigger) {
  const auto most = static_cast<int64_t>(kDemonstrations.size());
  if (demonstrations < 0 || demonstrations > most)
    throw UsageError("[reconstruct] demonstrations must be 0 to {}, not {}", most, demonstrations);
  CopyFrame frame;
  bool add_bos = true;
  if (form == "plain") {
    for (int64_t i = 0; i < demonstrations; ++i)
      frame.before += fmt::format("Text:\n{0}\nCopy:\n{0}\n\n", kDemonstrations[static_cast<size_t>(i)]);
    frame.before += demonstrations > 0 ? "Text:\n" : "";
    frame.after = demonstrations > 0 ? "\nCopy:\n" : "\n\n";
  } else {
    const ChatFormat format = choose_chat_format(tokenizer, form == "chat" ? "" : form);
    std::vector<ChatMessage> messages;
    for (int64_t i = 0; i < demonstrations; ++i)
      for (const char* role : {"user", "assistant"})
        messages.push_back({role, kDemonstrations[static_cast<size_t>(i)]});
    messages.push_back({"user", kPlace});
    const std::string all = format.render(messages, true);
    const size_t place = all.find(kPlace);
    frame.before = all.substr(0, place);
    frame.after = all.substr(place + std::string_view(kPlace).size());
    add_bos = false;  // the format spells it out
  }
  if (!trigger.empty()) frame.after = trigger;
  if (add_bos && tokenizer.adds_bos() && tokenizer.bos()) frame.before_ids = {*tokenizer.bos()};
  const EncodeOptions special{.add_special = false, .parse_special = true};
  const auto add = [&](std::vector<TokenId>& ids, const std::string& text) {
    if (text.empty()) return;
    const std::optional<TokenId> token = tokenizer.find(text);
    const std::vector<TokenId> more = token ? std::vector<TokenId>{*token} : tokenizer.encode(text, special);
    ids.insert(ids.end(), more.begin(), more.end());
  };
  add(frame.before_ids, frame.before);
  add(frame.after_ids, frame.after);
  return frame;
}

ReconstructPrompt build_reconstruct(const PromptEncoder& encoder, const Filler& source, const CopyFrame& frame,
                                    const ReconstructSpec& spec, uint64_t seed) {
  if (spec.hint_tokens < 0 || spec.tokens <= spec.hint_tokens)
    throw UsageError("[reconstruct] a text of {} tokens cannot have a hint of {}", spec.tokens, spec.hint_tokens);
  if (spec.readings < 1) throw UsageError("[reconstruct] readings must be at least 1, not {}", spec.readings);
  Random random(seed);
  const std::vector<TokenId> text = whole_text_tokens(encoder, source, spec, random);
  const Tokenizer& tokenizer = encoder.tokenizer();
  ReconstructPrompt built;
  BuiltPrompt& prompt = built.prompt;
  prompt.context_ids = frame.before_ids;
  prompt.context = frame.before;
  for (int64_t reading = 1; reading <= spec.readings; ++reading) {
    const auto begin = static_cast<int64_t>(prompt.context_ids.size());
    prompt.needles.push_back({begin, begin + spec.tokens - 1});
    prompt.context_ids.insert(prompt.context_ids.end(), text.begin(), text.end());
    prompt.context += tokenizer.decode(text);
    if (reading == spec.readings) break;
    prompt.context_ids.insert(prompt.context_ids.end(), frame.after_ids.begin(), frame.after_ids.end());
    prompt.context += frame.after;
  }
  prompt.utterance_ends = {static_cast<int64_t>(prompt.context_ids.size())};
  prompt.question = frame.after;
  prompt.question_ids = frame.after_ids;
  const auto hint = text.begin() + spec.hint_tokens;
  prompt.question_ids.insert(prompt.question_ids.end(), text.begin(), hint);
  prompt.answer_prefix = tokenizer.decode({text.data(), static_cast<size_t>(spec.hint_tokens)});
  built.expected.assign(hint, text.end());
  prompt.references = {tokenizer.decode(built.expected)};
  const auto n = static_cast<int64_t>(built.expected.size());
  built.max_new_tokens = (12 * n + 9) / 10 + 10;
  return built;
}

std::vector<std::string> names_in(const std::string& text) {
  const auto is_letter = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); };
  std::vector<std::string> names;
  bool inside = false;  // a sentence that began with another word
  for (size_t at = 0; at < text.size();) {
    if (!is_letter(text[at])) {
      if (text[at] == '.' || text[at] == '!' || text[at] == '?' || text[at] == '\n' || text[at] == '"') inside = false;
      ++at;
      continue;
    }
    const size_t begin = at;
    while (at < text.size() && is_letter(text[at])) ++at;
    const std::string word = text.substr(begin, at - begin);
    const bool large = word[0] <= 'Z' && word.size() > 1;
    if (large && inside && std::find(names.begin(), names.end(), word) == names.end()) names.push_back(word);
    inside = true;
  }
  return names;
}

}  // namespace steno
