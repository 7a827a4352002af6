// What a tokenizer does to a text before it is cut into words.
#pragma once
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "io/pattern.h"

namespace steno {

// Where a piece of text stands in the whole.
struct TextPlace {
  bool at_start = true;     // it begins the whole text
  bool after_text = false;  // it continues ordinary text: no space is put before it
};

enum class UnicodeForm { nfc, nfd, nfkc, nfkd };
struct Lowercase {};
struct StripAccents {};
struct StripSpace {
  bool left, right;
};
struct Prepend {
  std::string text;
};
struct ReplaceText {
  std::string from, to;
};
struct ReplacePattern {
  Pattern from;
  std::string to;
};
using NormalizerStep =
    std::variant<UnicodeForm, Lowercase, StripAccents, StripSpace, Prepend, ReplaceText, ReplacePattern>;

class Normalizer {
 public:
  explicit Normalizer(std::vector<NormalizerStep> steps = {}) : steps_(std::move(steps)) {}
  // `text` is valid UTF-8 and so is the result, which is `text` itself or a view of `buffer`.
  std::string_view apply(std::string_view text, TextPlace place, std::string& buffer) const;
  bool empty() const { return steps_.empty(); }

 private:
  std::vector<NormalizerStep> steps_;
};

}  // namespace steno
