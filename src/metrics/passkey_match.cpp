#include "metrics/passkey_match.h"

namespace steno {

std::string_view first_digit_run(std::string_view output) {
  constexpr std::string_view kDigits = "0123456789";
  const size_t begin = output.find_first_of(kDigits);
  if (begin == std::string_view::npos) return {};
  const size_t end = output.find_first_not_of(kDigits, begin);
  return output.substr(begin, end == std::string_view::npos ? end : end - begin);
}

bool matches_passkey(std::string_view output, std::string_view key) {
  return !key.empty() && first_digit_run(output) == key;
}

}  // namespace steno
