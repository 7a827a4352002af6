#include "methods/bigbird/columns.h"

#include <algorithm>

#include "base/random.h"

namespace steno {
namespace {

// A sequence of its own for every position.
Random sequence(uint64_t seed, int64_t position) {
  return Random(Random(seed).next() + static_cast<uint64_t>(position));
}

bool always_read(const BigBirdSizes& sizes, int64_t query, int64_t key) {
  return query < sizes.budget() || query - key < sizes.window || key < sizes.globals;
}

}  // namespace

std::vector<int64_t> DrawnByQuery::draws(int64_t query) const {
  std::vector<int64_t> columns;
  if (query < sizes_.globals) return columns;
  Random random = sequence(sizes_.seed, query);
  for (int64_t i = 0; i < sizes_.random; ++i)
    columns.push_back(sizes_.globals +
                      static_cast<int64_t>(random.below(static_cast<uint64_t>(query - sizes_.globals + 1))));
  std::sort(columns.begin(), columns.end());
  columns.erase(std::unique(columns.begin(), columns.end()), columns.end());
  return columns;
}

bool DrawnByQuery::visible(int64_t query, const Slot& slot) const {
  if (always_read(sizes_, query, slot.position)) return true;
  const auto columns = draws(query);
  return std::binary_search(columns.begin(), columns.end(), slot.position);
}

std::vector<int64_t> DrawnByQuery::far_columns(int64_t query) const {
  std::vector<int64_t> columns;
  const int64_t window = query - sizes_.window + 1;
  for (int64_t j = 0; j < std::min(sizes_.globals, window); ++j) columns.push_back(j);
  for (const int64_t j : draws(query))
    if (j < window) columns.push_back(j);
  return columns;
}

bool DrawnByKey::visible(int64_t query, const Slot& slot) const {
  if (always_read(sizes_, query, slot.position)) return true;
  return sequence(sizes_.seed, slot.position).uniform() * static_cast<double>(query) <
         static_cast<double>(sizes_.random);
}

}  // namespace steno
