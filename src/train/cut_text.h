// A text as pieces of nearly equal length.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

namespace steno {

struct TextPiece {
  int64_t begin, count;  // tokens
};

// The fewest pieces of at most `limit` tokens (0: one piece), all of the same length but for the last, which is
// shorter by less than the number of pieces. A text without tokens is one empty piece.
inline std::vector<TextPiece> cut_text(int64_t tokens, int64_t limit) {
  if (limit == 0 || tokens <= limit) return {{0, tokens}};
  const int64_t pieces = (tokens + limit - 1) / limit, size = (tokens + pieces - 1) / pieces;
  std::vector<TextPiece> cut;
  for (int64_t begin = 0; begin < tokens; begin += size) cut.push_back({begin, std::min(size, tokens - begin)});
  return cut;
}

}  // namespace steno
