// Regular expressions of tokenizers, matched by PCRE2 (UTF, UCP, JIT).
#pragma once
#include <memory>
#include <string>
#include <string_view>

namespace steno {

class Pattern {
 public:
  // `owner` begins the messages. Patterns of tokenizers are written for Oniguruma or Rust's regex; what PCRE2 would
  // read in another way is rewritten (\s) or refused (class intersections, \h). Throws InputError.
  Pattern(std::string_view source, const std::string& owner);

  // The leftmost match at or after `from` in valid UTF-8; false when there is none. An empty match is possible. Throws
  // InputError when the pattern needs too much work on this text.
  bool find(std::string_view text, size_t from, size_t& begin, size_t& end) const;
  const std::string& source() const { return source_; }

 private:
  std::string source_, owner_;
  std::shared_ptr<const void> code_;  // pcre2_code
  bool jit_ = false;
};

}  // namespace steno
