// How a tokenizer cuts a text into the words that merges never cross.
#pragma once
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "io/normalizer.h"
#include "io/pattern.h"
#include "io/unicode.h"

namespace steno {

// What becomes of a match and of the text around it; names as in tokenizer.json. "Removed" is not here: it drops text.
enum class SplitBehavior { isolated, merged_with_previous, merged_with_next, contiguous };

struct SplitByPattern {
  Pattern pattern;
  SplitBehavior behavior = SplitBehavior::isolated;
  bool invert = false;
};
struct SplitByCharacter {
  bool (*matches)(int32_t character);
  SplitBehavior behavior = SplitBehavior::isolated;
};
struct AddSpace {};  // a space before text that does not begin with one
// "▁" for each space; one more in front.
struct Metaspace {
  enum class Front { always, first, never } front = Front::always;
  bool split = true;  // before each mark
  std::string mark = std::string(kSpaceMark);
};
using PreTokenizerStep = std::variant<SplitByPattern, SplitByCharacter, AddSpace, Metaspace>;

class PreTokenizer {
 public:
  explicit PreTokenizer(std::vector<PreTokenizerStep> steps = {}) : steps_(std::move(steps)) {}
  // Calls emit(word) for each word of valid UTF-8, in order, none empty. Views live during the call only.
  template <class Emit>
  void run(std::string_view text, TextPlace place, Emit&& emit) const {
    run(0, text, place, emit);
  }
  bool empty() const { return steps_.empty(); }

 private:
  template <class Emit>
  void run(size_t step, std::string_view text, TextPlace& place, Emit& emit) const;

  std::vector<PreTokenizerStep> steps_;
};

// Joins matches with their neighbours as the behaviour says, one segment at a time.
template <class Emit>
class SegmentJoiner {
 public:
  SegmentJoiner(std::string_view text, SplitBehavior behavior, Emit& emit)
      : text_(text), behavior_(behavior), emit_(emit) {}

  void add(size_t begin, size_t end, bool match) {
    const bool joins = behavior_ == SplitBehavior::contiguous             ? match == last_match_
                       : behavior_ == SplitBehavior::merged_with_previous ? match && !last_match_
                       : behavior_ == SplitBehavior::merged_with_next     ? !match && last_match_
                                                                          : false;
    if (!joins) finish(), begin_ = begin;
    end_ = end;
    last_match_ = match;
  }
  void finish() {
    if (end_ > begin_) emit_(text_.substr(begin_, end_ - begin_));
    begin_ = end_;
  }

 private:
  std::string_view text_;
  SplitBehavior behavior_;
  Emit& emit_;
  size_t begin_ = 0, end_ = 0;
  bool last_match_ = false;
};

template <class Emit>
void cut(const SplitByPattern& step, std::string_view text, TextPlace&, Emit&& emit) {
  SegmentJoiner joiner(text, step.behavior, emit);
  size_t done = 0, from = 0, begin = 0, end = 0;
  while (from < text.size() && step.pattern.find(text, from, begin, end)) {
    if (begin == end) {  // an empty match cuts nothing
      if (begin >= text.size()) break;
      from = begin + character_length(text[begin]);
      continue;
    }
    if (begin > done) joiner.add(done, begin, step.invert);
    joiner.add(begin, end, !step.invert);
    done = from = end;
  }
  if (done < text.size()) joiner.add(done, text.size(), step.invert);
  joiner.finish();
}

template <class Emit>
void cut(const SplitByCharacter& step, std::string_view text, TextPlace&, Emit&& emit) {
  SegmentJoiner joiner(text, step.behavior, emit);
  size_t done = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    if (!step.matches(next_character(text, at))) continue;
    if (begin > done) joiner.add(done, begin, false);
    joiner.add(begin, at, true);
    done = at;
  }
  if (done < text.size()) joiner.add(done, text.size(), false);
  joiner.finish();
}

template <class Emit>
void cut(const AddSpace&, std::string_view text, TextPlace& place, Emit&& emit) {
  if (place.after_text || text.starts_with(' ')) return emit(text);
  const std::string spaced = " " + std::string(text);
  emit(std::string_view(spaced));
}

template <class Emit>
void cut(const Metaspace& step, std::string_view text, TextPlace& place, Emit&& emit) {
  std::string marked;
  marked.reserve(text.size() + text.size() / 2);
  for (const char c : text) c == ' ' ? marked += step.mark : marked += c;
  const bool wanted =
      step.front == Metaspace::Front::always || (step.front == Metaspace::Front::first && place.at_start);
  if (wanted && !place.after_text && !marked.starts_with(step.mark)) marked.insert(0, step.mark);
  place.at_start = false;
  const std::string_view view = marked;
  if (!step.split) return emit(view);
  size_t begin = 0;
  for (size_t at = view.find(step.mark, 1); at != std::string_view::npos; at = view.find(step.mark, at + 1)) {
    emit(view.substr(begin, at - begin));
    begin = at;
  }
  emit(view.substr(begin));
}

template <class Emit>
void PreTokenizer::run(size_t step, std::string_view text, TextPlace& place, Emit& emit) const {
  if (text.empty()) return;
  if (step == steps_.size()) return emit(text);
  std::visit(
      [&](const auto& one) { cut(one, text, place, [&](std::string_view part) { run(step + 1, part, place, emit); }); },
      steps_[step]);
}

}  // namespace steno
