// Scoring of passkey retrieval as in the landmark-attention repository: the first maximal run of ASCII digits counts.
#pragma once
#include <string_view>

namespace steno {

// The first maximal run of digits in `output`, empty when it has none. A view into `output`.
std::string_view first_digit_run(std::string_view output);

// Equal as text, so "07" is not "7". An empty key is never found.
bool matches_passkey(std::string_view output, std::string_view key);

}  // namespace steno
