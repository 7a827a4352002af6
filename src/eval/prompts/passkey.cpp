#include "eval/prompts/passkey.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "eval/prompts/draw.h"
#include "eval/prompts/fit.h"

namespace steno {
namespace {

constexpr const char* kTask =
    "There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. I will quiz you "
    "about the important information there.\n";
constexpr const char* kQuestion = "\nWhat is the pass key?";
constexpr const char* kPrefix = " The pass key is";
const std::vector<std::string> kLabels = {"door", "vault", "bank",   "garden", "office", "locker",
                                          "boat", "piano", "cellar", "engine", "desk",   "museum"};
constexpr int kTries = 50;  // keys drawn until one does not occur in the filler

std::string draw_key(int64_t digits, Random& random) {
  return digits > 0 ? random_number(digits, random) : std::to_string(1 + random.below(50000));
}

std::string key_sentence(const std::string& label, const std::string& key) {
  return fmt::format("The {0} key is {1}. Remember it. {1} is the {0} key.", label, key);
}

// As a number of its own: "12" does not occur in "1200".
bool holds_number(std::string_view text, std::string_view number) {
  const auto digit = [&](size_t at) { return at < text.size() && text[at] >= '0' && text[at] <= '9'; };
  for (size_t at = text.find(number); at != std::string_view::npos; at = text.find(number, at + 1))
    if (!(at > 0 && digit(at - 1)) && !digit(at + number.size())) return true;
  return false;
}

// A line end in place of the space wherever a turn of `tokens` is full.
void split_turns(std::string& text, const std::vector<size_t>& starts, const std::vector<double>& at, int64_t tokens) {
  double turn = 0;
  for (size_t i = 1; i < starts.size(); ++i) {
    if (at[i] - turn < static_cast<double>(tokens)) continue;
    text[starts[i] - 1] = '\n';
    turn = at[i];
  }
}

class Builder {
 public:
  Builder(const PromptEncoder& encoder, const Filler& filler, const PasskeySpec& spec, Random random)
      : encoder_(encoder), filler_(filler), spec_(spec) {
    key_ = draw_key(spec.digits, random);
    std::set<std::string> used = {key_};
    for (int64_t i = 0; i < spec.distractors; ++i) {
      std::string other;
      do other = draw_key(spec.digits, random);
      while (!used.insert(other).second);
      distractors_.push_back(key_sentence(kLabels[static_cast<size_t>(i)], other));
      shares_.push_back(random.uniform());
    }
    start_ = filler.random_start(random);
  }

  // Bytes of the filler at which key and distractors go.
  std::vector<size_t> places(int64_t bytes) const {
    const std::string text = filler_.take(static_cast<size_t>(bytes), start_);
    const std::vector<size_t> borders = borders_of(text);
    const std::vector<double> tokens = tokens_before(text, borders);
    const auto nearest = [&](double share) {
      const double wanted = share * tokens.back();
      size_t best = 0;
      for (size_t i = 1; i < borders.size(); ++i)
        if (std::abs(tokens[i] - wanted) < std::abs(tokens[best] - wanted)) best = i;
      // The last border stands for the end, wherever that is.
      return best + 1 == borders.size() ? std::string::npos : borders[best];
    };
    std::vector<size_t> places = {nearest(spec_.depth / 100)};
    for (const double share : shares_) places.push_back(nearest(share));
    return places;
  }

  BuiltPrompt build(int64_t bytes, const std::vector<size_t>& places) const {
    std::string text = filler_.take(static_cast<size_t>(bytes), start_);
    if (spec_.turn_tokens > 0) {
      const std::vector<size_t> borders = borders_of(text);
      split_turns(text, borders, tokens_before(text, borders), spec_.turn_tokens);
    }
    std::vector<Insertion> insertions = {{places[0], key_sentence("pass", key_)}};
    for (size_t i = 0; i < distractors_.size(); ++i) insertions.push_back({places[i + 1], distractors_[i]});
    const Woven woven = weave(text, insertions, "\n", true);

    BuiltPrompt prompt;
    prompt.context = kTask + woven.text;
    prompt.question = kQuestion;
    prompt.answer_prefix = kPrefix;
    prompt.references = {key_};
    prompt.context_ids = encoder_.context(prompt.context);
    prompt.question_ids = encoder_.question(prompt.question, prompt.answer_prefix);
    const std::vector<size_t> ends = encoder_.token_ends(prompt.context_ids, prompt.context.size());
    const size_t shift = std::string_view(kTask).size();
    prompt.needles = {encoder_.range_of(ends, woven.places[0].first + shift, woven.places[0].second + shift)};
    if (spec_.turn_tokens > 0) prompt.utterance_ends = line_ends(prompt.context, ends);
    return prompt;
  }

  const std::string& key() const { return key_; }

 private:
  // Sentence beginnings, and the end.
  static std::vector<size_t> borders_of(const std::string& text) {
    if (text.empty()) return {0};
    std::vector<size_t> borders = sentence_starts(text);
    borders.push_back(text.size());
    return borders;
  }

  std::vector<double> tokens_before(const std::string& text, const std::vector<size_t>& borders) const {
    const std::vector<TokenId> ids = encoder_.context(text);
    const std::vector<size_t> ends = encoder_.token_ends(ids, text.size());
    std::vector<double> tokens;
    for (const size_t border : borders)
      tokens.push_back(static_cast<double>(std::upper_bound(ends.begin(), ends.end(), border) - ends.begin()) -
                       static_cast<double>(encoder_.head_tokens()));
    return tokens;
  }

  static std::vector<int64_t> line_ends(const std::string& text, const std::vector<size_t>& ends) {
    std::vector<int64_t> counts;
    for (size_t at = text.find('\n'); at != std::string::npos; at = text.find('\n', at + 1)) {
      const int64_t count = PromptEncoder::range_of(ends, at, at + 1).last + 1;
      if (counts.empty() || counts.back() < count) counts.push_back(count);
    }
    const auto all = static_cast<int64_t>(ends.size());
    if (counts.empty() || counts.back() < all) counts.push_back(all);
    return counts;
  }

  const PromptEncoder& encoder_;
  const Filler& filler_;
  const PasskeySpec& spec_;
  std::string key_;
  std::vector<std::string> distractors_;
  std::vector<double> shares_;
  size_t start_ = 0;
};

void check(const PasskeySpec& spec) {
  if (spec.depth < 0 || spec.depth > 100) throw UsageError("[passkey] depth must be 0 to 100, not {}", spec.depth);
  if (spec.digits < 0 || spec.digits > 18) throw UsageError("[passkey] digits must be 0 to 18, not {}", spec.digits);
  if (spec.distractors < 0 || spec.distractors > static_cast<int64_t>(kLabels.size()))
    throw UsageError("[passkey] distractors must be 0 to {}, not {}", kLabels.size(), spec.distractors);
  if (spec.digits == 1 && spec.distractors > 8)
    throw UsageError("[passkey] keys of one digit allow 8 distractors at most, not {}", spec.distractors);
  if (spec.turn_tokens < 0) throw UsageError("[passkey] turn-tokens must not be negative");
}

}  // namespace

BuiltPrompt build_passkey(const PromptEncoder& encoder, const Filler& filler, const PasskeySpec& spec, uint64_t seed) {
  check(spec);
  Random random(seed);
  for (int i = 0; i < kTries; ++i) {
    const Builder builder(encoder, filler, spec, Random(random.next()));
    const auto count = [&](int64_t bytes) { return builder.build(bytes, builder.places(bytes)).tokens(); };
    const int64_t size = fit_size(count, spec.length, spec.length * 64, 0.25, "[passkey] length");
    const std::vector<size_t> places = builder.places(size);
    const auto count_there = [&](int64_t bytes) { return builder.build(bytes, places).tokens(); };
    BuiltPrompt prompt = builder.build(use_up(count_there, spec.length, size), places);
    std::string rest = prompt.context;
    const std::string needle = key_sentence("pass", builder.key());
    rest.erase(rest.find(needle), needle.size());
    if (!holds_number(rest, builder.key())) return prompt;
  }
  throw InputError("[passkey] {}: every key that was drawn occurs in the filler; ask for more digits", filler.name());
}

}  // namespace steno
