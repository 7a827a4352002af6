// Search and replace by PCRE2, for the rules that reference packages state as regular expressions.
#pragma once
#include <memory>
#include <string>
#include <string_view>

namespace steno {

class Regex {
 public:
  // A pattern of ours, so a mistake in it is an internal error. UTF-8 mode; \d, \w and \s are ASCII, \p{..} is Unicode.
  explicit Regex(std::string_view pattern);
  // Every match, left to right and without overlap, becomes `replacement` ($1 names a group). `text` is valid UTF-8.
  // Safe from any thread.
  std::string replace(const std::string& text, std::string_view replacement) const;

 private:
  std::shared_ptr<const void> code_;  // pcre2_code
};

}  // namespace steno
