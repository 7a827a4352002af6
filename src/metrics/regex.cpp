#include "metrics/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/core.h>
#include <pcre2.h>

#include <stdexcept>

namespace steno {

Regex::Regex(std::string_view pattern) {
  int error = 0;
  PCRE2_SIZE at = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_UTF, &error, &at, nullptr);
  if (!code) throw std::logic_error(fmt::format("pattern '{}': PCRE2 error {} at {}", pattern, error, at));
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // where there is no JIT the interpreter matches
  code_ = std::shared_ptr<const void>(code, [](void* p) { pcre2_code_free(static_cast<pcre2_code*>(p)); });
}

std::string Regex::replace(const std::string& text, std::string_view replacement) const {
  std::string out(2 * text.size() + 64, '\0');
  while (true) {
    PCRE2_SIZE length = out.size();
    const int found =
        pcre2_substitute(static_cast<const pcre2_code*>(code_.get()), reinterpret_cast<PCRE2_SPTR>(text.data()),
                         text.size(), 0, PCRE2_SUBSTITUTE_GLOBAL | PCRE2_SUBSTITUTE_OVERFLOW_LENGTH, nullptr, nullptr,
                         reinterpret_cast<PCRE2_SPTR>(replacement.data()), replacement.size(),
                         reinterpret_cast<PCRE2_UCHAR*>(out.data()), &length);
    if (found == PCRE2_ERROR_NOMEMORY) {
      out.resize(length);
      continue;
    }
    if (found < 0) throw std::logic_error(fmt::format("PCRE2 error {} in a replacement", found));
    out.resize(length);
    return out;
  }
}

}  // namespace steno
