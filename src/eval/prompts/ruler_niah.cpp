// Needles of RULER: "One of the special magic {type} for {key} is: {value}."
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "base/error.h"
#include "eval/prompts/draw.h"
#include "eval/prompts/ruler.h"
#include "eval/prompts/words.h"

namespace steno {
namespace {

enum class Hay { noise, essay, needles };

struct NiahShape {
  Hay hay;
  bool uuid_keys = false, uuid_values = false;
  int64_t keys = 1, values = 1, asked = 1;
};

const std::map<std::string, NiahShape>& shapes() {
  static const std::map<std::string, NiahShape> all = {
      {"niah_single_1", {Hay::noise}},
      {"niah_single_2", {Hay::essay}},
      {"niah_single_3", {Hay::essay, false, true}},
      {"niah_multikey_1", {Hay::essay, false, false, 4}},
      {"niah_multikey_2", {Hay::needles}},
      {"niah_multikey_3", {Hay::needles, true, true}},
      {"niah_multivalue", {Hay::essay, false, false, 1, 4}},
      {"niah_multiquery", {Hay::essay, false, false, 4, 1, 4}},
  };
  return all;
}

// Everything random of one prompt, drawn before its size is known, so that a larger haystack changes no key.
struct Niah {
  NiahShape shape;
  std::string type;  // "number", "uuid"
  std::vector<std::string> needles, asked_keys, references;
  std::vector<double> places;  // of each needle, as a share of the haystack
  size_t start = 0;            // of the essays
  Random others{0};            // keys and values of a haystack made of needles
  std::set<std::string> used;
};

std::string number7(Random& random) { return random_number(7, random); }

std::string needle(const Niah& niah, const std::string& key, const std::string& value) {
  return fmt::format("One of the special magic {}s for {} is: {}.", niah.type, key, value);
}

Niah draw_niah(const NiahShape& shape, const RulerTexts& texts, Random random) {
  Niah niah{.shape = shape, .type = shape.uuid_values ? "uuid" : "number"};
  const auto make_key = shape.uuid_keys ? random_uuid : random_key;
  const auto make_value = shape.uuid_values ? random_uuid : number7;
  for (int64_t k = 0; k < shape.keys; ++k) {
    const std::string key = draw_new("keys", niah.used, random, make_key);
    if (k < shape.asked) niah.asked_keys.push_back(key);
    for (int64_t v = 0; v < shape.values; ++v) {
      const std::string value = draw_new("values", niah.used, random, make_value);
      niah.needles.push_back(needle(niah, key, value));
      if (k < shape.asked) niah.references.push_back(value);
    }
  }
  // Forty evenly spaced places without replacement in essays, any line in noise and among other needles.
  const std::vector<size_t> places = draw_indices(40, niah.needles.size(), random);
  for (const size_t place : places)
    niah.places.push_back(shape.hay == Hay::essay ? static_cast<double>(place) / 39 : random.uniform());
  if (shape.hay == Hay::essay) niah.start = texts.essays->random_start(random);
  niah.others = random;
  return niah;
}

Woven in_essays(const Niah& niah, const Filler& essays, int64_t bytes) {
  const std::string text = essays.take(static_cast<size_t>(bytes), niah.start);
  std::vector<size_t> borders = text.empty() ? std::vector<size_t>{} : sentence_starts(text);
  borders.push_back(text.size());
  std::vector<Insertion> insertions;
  for (size_t i = 0; i < niah.needles.size(); ++i) {
    const auto wanted = static_cast<size_t>(niah.places[i] * static_cast<double>(text.size()));
    // The border at or before the place; the very end for the last.
    const auto after = std::upper_bound(borders.begin(), borders.end(), wanted);
    insertions.push_back({*(after - (after == borders.begin() ? 0 : 1)), niah.needles[i]});
  }
  return weave(text, insertions, " ", false);
}

// Lines of haystack, the needles between them.
Woven in_lines(const Niah& niah, int64_t lines) {
  Random random = niah.others;
  std::set<std::string> used = niah.used;
  const std::string noise = Filler::repeated().take(89);
  const auto make_key = niah.shape.uuid_keys ? random_uuid : random_key;
  const auto make_value = niah.shape.uuid_values ? random_uuid : number7;
  std::string text;
  std::vector<size_t> borders = {0};
  for (int64_t i = 0; i < lines; ++i) {
    std::string line = noise;
    if (niah.shape.hay == Hay::needles) {
      // Past the number of word keys that there are, two words more make a new one.
      std::string key = make_key(random);
      while (!used.insert(key).second) key += "-" + draw(nouns(), random);
      line = needle(niah, key, draw_new("values", used, random, make_value));
    }
    text += (i > 0 ? "\n" : "") + line;
    borders.push_back(text.size());
  }
  std::vector<Insertion> insertions;
  for (size_t i = 0; i < niah.needles.size(); ++i) {
    const auto at =
        std::min<size_t>(static_cast<size_t>(niah.places[i] * static_cast<double>(lines + 1)), borders.size() - 1);
    insertions.push_back({borders[at], niah.needles[i]});
  }
  return weave(text, insertions, "\n", false);
}

}  // namespace

RulerRecipe niah_recipe(const std::string& kind, const PromptEncoder&, const RulerTexts& texts, Random random) {
  const auto niah = std::make_shared<const Niah>(draw_niah(shapes().at(kind), texts, random));
  const Filler* essays = texts.essays;
  RulerRecipe recipe;
  const bool by_bytes = niah->shape.hay == Hay::essay;
  recipe.tokens_per_size = by_bytes ? 0.25 : 25;
  recipe.most = by_bytes ? int64_t{1} << 32 : int64_t{1} << 26;
  recipe.draft = [niah, essays](int64_t size) {
    Woven woven = niah->shape.hay == Hay::essay ? in_essays(*niah, *essays, size) : in_lines(*niah, size);
    const bool one = niah->references.size() == 1;
    const std::string intro =
        one ? fmt::format(
                  "A special magic {} is hidden in the following text. Remember it; a question about it comes "
                  "afterwards.\n",
                  niah->type)
            : fmt::format(
                  "Some special magic {}s are hidden in the following text. Remember them; a question about "
                  "them comes afterwards.\n",
                  niah->type);
    std::string keys;
    for (size_t i = 0; i < niah->asked_keys.size(); ++i)
      keys += (i == 0 ? "" : i + 1 == niah->asked_keys.size() ? ", and " : ", ") + niah->asked_keys[i];
    RulerDraft draft;
    draft.context = intro + woven.text;
    draft.question =
        one ? fmt::format("\nWhat is the special magic {} for {} in the text above?", niah->type, keys)
            : fmt::format("\nWhat are all the special magic {}s for {} in the text above?", niah->type, keys);
    draft.answer_prefix = one ? fmt::format(" The special magic {} for {} in the text is", niah->type, keys)
                              : fmt::format(" The special magic {}s for {} in the text are", niah->type, keys);
    draft.references = niah->references;
    for (const auto& [begin, end] : woven.places) draft.needles.emplace_back(begin + intro.size(), end + intro.size());
    return draft;
  };
  return recipe;
}

}  // namespace steno
