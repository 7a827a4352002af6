#include "memory/reread_window.h"

#include <algorithm>

namespace steno {

int64_t Window::context_size() const {
  int64_t size = 0;
  for (const auto& [first, end] : context) size += end - first;
  return size;
}

std::vector<int64_t> Window::positions(int64_t seen) const {
  std::vector<int64_t> all;
  all.reserve(static_cast<size_t>(size(seen)));
  for (const auto& [first, end] : context)
    for (int64_t position = first; position < end; ++position) all.push_back(position);
  for (int64_t position = begin; position < seen; ++position) all.push_back(position);
  return all;
}

Window window_before(const WindowRule& rule, int64_t begin, int64_t question_begin, int64_t question_end,
                     const std::function<std::vector<PositionRange>(int64_t before)>& passages) {
  Window w{.begin = begin, .question_begin = question_begin, .question_end = question_end, .start = rule.start};
  int64_t left = rule.budget - rule.block - rule.start;
  w.tail = std::max({rule.start, question_begin - rule.recent, begin - left});
  left -= begin - w.tail;

  std::vector<PositionRange> chosen;
  if (passages && left > 0) {
    for (const auto& [passage_first, end] : passages(w.tail)) {
      const int64_t first = std::max(passage_first, rule.start);
      if (first >= end || end - first > left) continue;
      chosen.emplace_back(first, end);
      left -= end - first;
      w.passages += end - first;
    }
    std::sort(chosen.begin(), chosen.end());
  }
  // What is free goes to the newest tokens, around the passages that the tail meets on its way down.
  while (left > 0) {
    const int64_t above = chosen.empty() ? rule.start : chosen.back().second;
    const int64_t taken = std::min(left, w.tail - above);
    w.tail -= taken;
    left -= taken;
    if (w.tail > above || chosen.empty()) break;
    w.tail = chosen.back().first;
    chosen.pop_back();
  }
  if (rule.start > 0) w.context.emplace_back(0, rule.start);
  w.context.insert(w.context.end(), chosen.begin(), chosen.end());
  if (w.tail < begin) w.context.emplace_back(w.tail, begin);
  return w;
}

}  // namespace steno
