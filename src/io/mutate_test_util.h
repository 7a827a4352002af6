// For tests only: damages an input in many seeded ways. A reader must either accept each result or throw steno::Error.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/random.h"

namespace steno::test {

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : random_(seed) {}

  // One to four changes.
  std::string operator()(std::string bytes) {
    for (uint64_t left = 1 + random_.below(4); left > 0; --left) change(bytes);
    return bytes;
  }

 private:
  void change(std::string& bytes) {
    if (bytes.empty()) return bytes.push_back(static_cast<char>(random_.next()));
    const size_t at = random_.below(bytes.size());
    switch (random_.below(9)) {
      case 0:
        bytes[at] ^= static_cast<char>(1u << random_.below(8));
        break;
      case 1:
        bytes[at] = static_cast<char>(random_.next());
        break;
      case 2:
        bytes.resize(at);
        break;
      case 3:
        bytes.erase(at, chunk(bytes.size() - at));
        break;
      case 4:
        bytes.insert(random_.below(bytes.size()), bytes.substr(at, chunk(bytes.size() - at)));
        break;
      case 5:
        overwrite(bytes, at, number());
        break;
      case 6:
        splice_text(bytes, at);
        break;
      case 7: {  // one part over another
        const std::string part = bytes.substr(at, chunk(bytes.size() - at));
        overwrite(bytes, random_.below(bytes.size()), part);
        break;
      }
      case 8:
        bytes.insert(at, std::string(1 + random_.below(64), static_cast<char>(random_.next())));
        break;
    }
  }

  size_t chunk(size_t limit) { return 1 + random_.below(std::min<size_t>(limit, 1 + random_.below(64))); }

  static void overwrite(std::string& bytes, size_t at, std::string_view part) {
    const size_t length = std::min(part.size(), bytes.size() - at);
    bytes.replace(at, length, part.substr(0, length));
  }

  // A count, length or offset as a file of numbers would hold it, 4 or 8 bytes wide.
  std::string number() {
    static constexpr uint64_t kNumbers[] = {0,
                                            1,
                                            2,
                                            3,
                                            31,
                                            255,
                                            65535,
                                            1u << 20,
                                            0x7FFFFFFF,
                                            0x80000000,
                                            0xFFFFFFFF,
                                            1ull << 32,
                                            1ull << 40,
                                            1ull << 62,
                                            0x7FFFFFFFFFFFFFFF,
                                            0x8000000000000000,
                                            0xFFFFFFFFFFFFFFE0,
                                            0xFFFFFFFFFFFFFFFF};
    const uint64_t value =
        kNumbers[random_.below(std::size(kNumbers))] + (random_.below(4) == 0 ? random_.below(9) : 0);
    std::string text(random_.below(2) == 0 ? 4 : 8, '\0');
    std::memcpy(text.data(), &value, text.size());
    return text;
  }

  // Inserts or overwrites with a piece of JSON.
  void splice_text(std::string& bytes, size_t at) {
    static constexpr const char* kPieces[] = {"{",
                                              "}",
                                              "[",
                                              "]",
                                              "\"",
                                              ",",
                                              ":",
                                              "\\",
                                              "null",
                                              "true",
                                              "0",
                                              "-1",
                                              "1.5",
                                              "1e999",
                                              "4294967296",
                                              "9223372036854775807",
                                              "9223372036854775808",
                                              "18446744073709551615",
                                              "18446744073709551616",
                                              "[[[[[[[[",
                                              "\\ud800",
                                              "\xFF",
                                              "{}",
                                              "[]",
                                              "\"\"",
                                              "\"a\":",
                                              "../",
                                              "/"};
    const std::string piece = kPieces[random_.below(std::size(kPieces))];
    if (random_.below(2) == 0)
      overwrite(bytes, at, piece);
    else
      bytes.insert(at, piece);
  }

  Random random_;
};

struct MutationCounts {
  int accepted = 0, refused = 0;
};

// Calls `use` with every truncation of `input` (shorter than 10,000 bytes, so that this stays quick) and with `count`
// mutations of it. `use` reads everything that it accepts; an exception that is no steno::Error fails the test.
inline MutationCounts check_mutations(const std::string& input, int count, uint64_t seed,
                                      const std::function<void(const std::string&)>& use) {
  MutationCounts counts;
  const auto run = [&](const std::string& bytes, const std::string& name) {
    try {
      use(bytes);
      ++counts.accepted;
    } catch (const Error& error) {
      ++counts.refused;
      EXPECT_GT(std::strlen(error.what()), 0u) << name;
      EXPECT_EQ(std::strchr(error.what(), '\n'), nullptr) << name << ": more than one line: " << error.what();
    } catch (const std::exception& error) {
      ADD_FAILURE() << name << ": " << error.what();
    }
  };
  if (input.size() < 10000)
    for (size_t length = 0; length < input.size(); ++length)
      run(input.substr(0, length), "truncated to " + std::to_string(length));
  Mutator mutator(seed);
  for (int i = 0; i < count; ++i)
    run(mutator(input), "seed " + std::to_string(seed) + ", mutation " + std::to_string(i));
  return counts;
}

}  // namespace steno::test
