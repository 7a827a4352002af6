#include "eval/prompts/draw.h"

#include <numeric>

#include "base/error.h"

namespace steno {

uint64_t mix_seeds(std::initializer_list<uint64_t> parts) {
  uint64_t seed = 0;
  for (const uint64_t part : parts) seed = Random(seed ^ Random(part).next()).next();
  return seed;
}

uint64_t seed_of(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325ull;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001B3ull;
  return hash;
}

std::vector<size_t> draw_indices(size_t n, size_t count, Random& random) {
  std::vector<size_t> all(n);
  std::iota(all.begin(), all.end(), size_t{0});
  for (size_t i = 0; i < count; ++i) std::swap(all[i], all[i + random.below(n - i)]);
  all.resize(count);
  return all;
}

std::string draw_new(const std::string& what, std::set<std::string>& used, Random& random,
                     std::string (*make)(Random&)) {
  for (int i = 0; i < 1000; ++i) {
    std::string drawn = make(random);
    if (used.insert(drawn).second) return drawn;
  }
  throw InputError("[eval] {}: no {} different ones can be made", what, used.size() + 1);
}

std::string random_number(int64_t digits, Random& random) {
  std::string number(1, static_cast<char>('1' + random.below(9)));
  while (static_cast<int64_t>(number.size()) < digits) number += static_cast<char>('0' + random.below(10));
  return number;
}

std::string random_uuid(Random& random) {
  std::string uuid;
  for (const int group : {8, 4, 4, 4, 12}) {
    if (!uuid.empty()) uuid += '-';
    for (int i = 0; i < group; ++i) uuid += "0123456789abcdef"[random.below(16)];
  }
  return uuid;
}

std::string random_letters(int64_t n, Random& random) {
  std::string letters;
  for (int64_t i = 0; i < n; ++i) letters += static_cast<char>('a' + random.below(26));
  return letters;
}

}  // namespace steno
