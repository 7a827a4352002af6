#include "report/browser.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "report/figures.h"
#include "report/text.h"

namespace steno::report {
namespace {

constexpr size_t kMostRanges = 48;
constexpr int kParts = 200;

// Byte offset of the `count`-th character from `from`, or the end.
size_t after_characters(const std::string& text, size_t from, int64_t count) {
  while (from < text.size() && count-- > 0) {
    ++from;
    while (from < text.size() && (static_cast<unsigned char>(text[from]) & 0xC0) == 0x80) ++from;
  }
  return from;
}

int64_t characters(const std::string& text) {
  return std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

// Every different text is stored once: the arms of a run share questions and references.
class Texts {
 public:
  explicit Texts(int64_t limit) : limit_(limit) {}
  size_t add(const std::string& text) {
    const auto [found, is_new] = numbers_.emplace(text, numbers_.size());
    if (is_new) {
      std::string shown = shorten(text, limit_);
      shortened_ += shown.size() != text.size();
      list_.push_back(std::move(shown));
    }
    return found->second;
  }
  Json take() { return std::move(list_); }
  int64_t shortened() const { return shortened_; }
  int64_t size() const { return static_cast<int64_t>(numbers_.size()); }

 private:
  int64_t limit_, shortened_ = 0;
  std::unordered_map<std::string, size_t> numbers_;
  Json list_ = Json::array();
};

int64_t positions(const std::vector<Range>& ranges) {
  int64_t sum = 0;
  for (const Range& range : ranges) sum += range.second - range.first + 1;
  return sum;
}

Json ranges_json(const std::vector<Range>& ranges) {
  Json list = Json::array();
  for (const Range& range : ranges) list.push_back({range.first, range.second});
  return list;
}

}  // namespace

std::string item_score(const Run& run) {
  const std::string headline = headline_of(run);
  std::string first;
  bool has_correct = false;
  for (const Item& item : run.items) {
    if (item.scores.contains(headline)) return headline;
    has_correct |= item.scores.contains("correct");
    if (first.empty() && !item.scores.empty()) first = item.scores.begin()->first;
  }
  return has_correct ? "correct" : first;
}

std::string shorten(const std::string& text, int64_t limit) {
  const int64_t length = limit > 0 ? characters(text) : 0;
  if (length <= limit) return text;
  const size_t head = after_characters(text, 0, limit / 2 + limit % 2);
  const size_t tail = after_characters(text, head, length - limit);
  return text.substr(0, head) + fmt::format(" [… {} characters left out of this page …] ", show_count(length - limit)) +
         text.substr(tail);
}

std::string kept_shares(const std::vector<Range>& kept, int64_t tokens, int parts) {
  std::vector<double> covered(static_cast<size_t>(parts));
  const double width = static_cast<double>(tokens) / parts;
  for (const Range& range : kept) {
    const double first = static_cast<double>(range.first), end = static_cast<double>(range.second + 1);
    for (int part = std::min(parts - 1, static_cast<int>(first / width)); part < parts && part * width < end; ++part)
      covered[static_cast<size_t>(part)] +=
          std::max(0.0, std::min(end, (part + 1) * width) - std::max(first, part * width));
  }
  std::string shares;
  for (const double sum : covered) {
    const double share = sum / width;
    shares += share <= 0         ? '0'
              : share > 1 - 1e-9 ? '9'
                                 : static_cast<char>('1' + std::min(7, static_cast<int>(share * 8)));
  }
  return shares;
}

BrowserData browser_data(const Run& run, int64_t text_limit) {
  BrowserData data;
  Texts texts(text_limit);
  std::map<CellKey, size_t> cells;
  Json cell_names = Json::array(), items = Json::array();
  const std::string score = item_score(run);
  bool graded = !score.empty();
  for (const Item& item : run.items) {
    const auto [cell, is_new] = cells.emplace(item.cell, cells.size());
    if (is_new) cell_names.push_back(cell_text(item.cell));
    Json entry = {{"a", item.arm}, {"i", texts.add(item.id)}, {"c", cell->second}, {"s", item.scores}};
    if (const auto value = item.scores.find(score); value != item.scores.end())
      graded &= value->second >= 0 && value->second <= 1;
    if (!item.question.empty()) entry["q"] = texts.add(item.question);
    entry["p"] = texts.add(item.prediction);
    Json references = Json::array();
    for (const std::string& reference : item.references) references.push_back(texts.add(reference));
    if (!references.empty()) entry["r"] = std::move(references);
    if (!item.skipped.empty()) entry["z"] = item.skipped;

    int64_t tokens = item.context_tokens;
    for (const auto* ranges : {&item.kept, &item.needles})
      if (!ranges->empty()) tokens = std::max(tokens, ranges->back().second + 1);
    if (tokens > 0) entry["t"] = tokens;
    if (item.kept_known && tokens > 0) {
      entry["kn"] = positions(item.kept);
      entry["kr"] = item.kept.size();
      if (item.kept.size() <= kMostRanges) {
        entry["k"] = ranges_json(item.kept);
      } else {
        entry["b"] = kept_shares(item.kept, tokens, kParts);
        ++data.binned;
      }
      if (!item.needles.empty()) entry["nk"] = covered(item.needles, item.kept);
    }
    if (!item.needles.empty()) entry["n"] = ranges_json(item.needles);
    if (!item.accounting.empty()) entry["m"] = item.accounting;
    if (!item.time.empty()) entry["d"] = item.time;
    for (const auto& [name, value] : item.extra.items())
      entry["x"][name] = texts.add(value.is_string() ? value.get<std::string>() : value.dump());
    items.push_back(std::move(entry));
  }
  Json arms = Json::array();
  for (const Arm& arm : run.arms) arms.push_back(arm.id);
  data.texts = texts.size();
  data.shortened = texts.shortened();
  data.json = {{"arms", arms},     {"cells", cell_names},   {"score", score},
               {"graded", graded}, {"texts", texts.take()}, {"items", std::move(items)}};
  return data;
}

}  // namespace steno::report
