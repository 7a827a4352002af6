// Numbers and names as people read them.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace steno {

std::string count_text(int64_t n);                     // 8,536
std::string bytes_text(int64_t bytes);                 // 6.0 MB (powers of 1000)
std::string seconds_text(double seconds);              // 0.31 s, 12 s, 3 min 20 s, 2 h 5 min
std::string plural(int64_t n, std::string_view noun);  // "1 token", "8,536 tokens"

// The candidate that needs the fewest edits, or "" when none is near enough to be what was meant.
std::string nearest(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace steno
