// The text that needles are hidden in: a unit repeated for as long as is asked, and where its sentences begin.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/random.h"

namespace steno {

// Byte offsets at which a sentence begins: 0, and behind '.', '!' or '?', closing marks and white space.
std::vector<size_t> sentence_starts(std::string_view text);

// Immutable; cheap to ask, so one is shared by all prompts of a run.
class Filler {
 public:
  // `name` goes into run records. Throws InputError for a unit without text.
  Filler(std::string name, std::string unit, std::string joint);
  // "The grass is green. ...": evaluation, section 4.
  static Filler repeated();
  // Documents one after the other, repeated where they are too short. White space inside becomes single spaces, but
  // for the blank lines between paragraphs.
  static Filler natural(std::string name, const std::vector<std::string>& documents);

  const std::string& name() const { return name_; }
  size_t unit_bytes() const { return unit_.size(); }
  // `bytes` of the repeated unit from its byte `start` on, cut at a character's border at or before the last.
  std::string take(size_t bytes, size_t start = 0) const;
  // Where a sentence of the unit begins, uniform. 0 for the repeated filler.
  size_t random_start(Random& random) const;

 private:
  std::string name_, unit_;  // the unit ends with its joint
  std::vector<size_t> starts_;
};

struct Insertion {
  size_t at = 0;  // byte of the filler before which it goes
  std::string text;
};
struct Woven {
  std::string text;
  std::vector<std::pair<size_t, size_t>> places;  // bytes [begin, end) of each insertion, in the order given
};
// Filler and insertions in order of place, joined by `joint`; white space where a part is put in is left out, but not
// at the filler's end, so that a byte more of it is a byte more of the result. Insertions at the same place keep their
// order. `keep_empty`: an empty part of the filler still gets its joint, as when lines are joined.
Woven weave(std::string_view filler, const std::vector<Insertion>& insertions, std::string_view joint, bool keep_empty);

}  // namespace steno
