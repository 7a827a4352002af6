#include "eval/prompts/filler.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/utf8.h"

namespace steno {
namespace {

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

std::string_view trimmed_left(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  return text;
}

std::string_view trimmed(std::string_view text) {
  text = trimmed_left(text);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

// One space for every run of white space, a blank line for a run with two line ends or more.
void append_flowing(std::string& out, std::string_view text) {
  text = trimmed(text);
  for (size_t at = 0; at < text.size();) {
    if (!is_space(text[at])) {
      out += text[at++];
      continue;
    }
    int lines = 0;
    for (; at < text.size() && is_space(text[at]); ++at) lines += text[at] == '\n';
    out += lines >= 2 ? "\n\n" : " ";
  }
}

}  // namespace

std::vector<size_t> sentence_starts(std::string_view text) {
  constexpr std::string_view kClosing = "\"')]";
  std::vector<size_t> starts = {0};
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '.' && text[at] != '!' && text[at] != '?') continue;
    size_t next = at + 1;
    while (next < text.size() && kClosing.find(text[next]) != std::string_view::npos) ++next;
    const size_t space = next;
    while (next < text.size() && is_space(text[next])) ++next;
    if (next > space && next < text.size()) starts.push_back(next);
  }
  return starts;
}

Filler::Filler(std::string name, std::string unit, std::string joint) : name_(std::move(name)), unit_(std::move(unit)) {
  if (trimmed(unit_).empty()) throw InputError("[eval] {}: holds no text to hide anything in", name_);
  starts_ = sentence_starts(unit_);
  unit_ += joint;
}

Filler Filler::repeated() {
  Filler filler("repeated", "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.",
                " ");
  filler.starts_ = {0};
  return filler;
}

Filler Filler::natural(std::string name, const std::vector<std::string>& documents) {
  std::string unit;
  for (const std::string& document : documents) {
    if (trimmed(document).empty()) continue;
    if (!unit.empty()) unit += "\n\n";
    append_flowing(unit, document);
  }
  return Filler(std::move(name), std::move(unit), "\n\n");
}

std::string Filler::take(size_t bytes, size_t start) const {
  std::string text;
  text.reserve(bytes);
  for (size_t at = start % unit_.size(); text.size() < bytes; at = 0)
    text.append(unit_, at, std::min(bytes - text.size(), unit_.size() - at));
  text.resize(complete_utf8_prefix(text));
  return text;
}

size_t Filler::random_start(Random& random) const { return starts_[random.below(starts_.size())]; }

Woven weave(std::string_view filler, const std::vector<Insertion>& insertions, std::string_view joint,
            bool keep_empty) {
  std::vector<size_t> order(insertions.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return insertions[a].at < insertions[b].at; });
  Woven woven;
  woven.places.resize(insertions.size());
  bool first = true;
  const auto add = [&](std::string_view part) {
    if (!first) woven.text += joint;
    first = false;
    woven.text += part;
  };
  size_t from = 0;
  bool open = true;  // the filler before this place was not written yet
  for (const size_t i : order) {
    const size_t at = std::min(insertions[i].at, filler.size());
    open |= at > from;
    const std::string_view between = filler.substr(from, at - from);
    const std::string_view part = at < filler.size() ? trimmed(between) : trimmed_left(between);
    if (!part.empty() || (keep_empty && open)) add(part);
    from = at, open = false;
    add(insertions[i].text);
    woven.places[i] = {woven.text.size() - insertions[i].text.size(), woven.text.size()};
  }
  const std::string_view rest = trimmed_left(filler.substr(from));
  if (!rest.empty() || keep_empty) add(rest);
  return woven;
}

}  // namespace steno
