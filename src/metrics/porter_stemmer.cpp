#include "metrics/porter_stemmer.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <span>
#include <vector>

namespace steno {
namespace {

using Text = std::string_view;

bool is_vowel_letter(char c) { return Text("aeiou").find(c) != Text::npos; }

// For each letter, whether it is a consonant: no vowel, and no 'y' behind a consonant.
std::vector<bool> consonants(Text word) {
  std::vector<bool> flags(word.size());
  for (size_t i = 0; i < word.size(); ++i)
    flags[i] = word[i] == 'y' ? i == 0 || !flags[i - 1] : !is_vowel_letter(word[i]);
  return flags;
}

// Porter's m: how often a run of vowels is followed by a run of consonants.
int measure(Text stem) {
  const auto consonant = consonants(stem);
  int m = 0;
  for (size_t i = 1; i < stem.size(); ++i) m += consonant[i] && !consonant[i - 1];
  return m;
}

bool contains_vowel(Text stem) {
  const auto consonant = consonants(stem);
  return std::find(consonant.begin(), consonant.end(), false) != consonant.end();
}

bool ends_in_double_consonant(Text word) {
  const size_t n = word.size();
  return n >= 2 && word[n - 1] == word[n - 2] && consonants(word).back();
}

// Porter's *o: consonant, vowel, consonant other than w, x and y. NLTK adds a word of just vowel and consonant.
bool ends_cvc(Text word) {
  const auto c = consonants(word);
  const size_t n = word.size();
  if (n == 2) return !c[0] && c[1];
  return n > 2 && c[n - 3] && !c[n - 2] && c[n - 1] && Text("wxy").find(word.back()) == Text::npos;
}

std::optional<Text> without(Text word, Text suffix) {
  if (!word.ends_with(suffix)) return std::nullopt;
  return word.substr(0, word.size() - suffix.size());
}

struct Rule {
  Text suffix, replacement;
};

// The first rule whose suffix fits decides: it is applied when the stem measures more than `above`, and no other is.
std::string apply(Text word, std::span<const Rule> rules, int above) {
  for (const auto& [suffix, replacement] : rules)
    if (const auto stem = without(word, suffix))
      return measure(*stem) > above ? std::string(*stem).append(replacement) : std::string(word);
  return std::string(word);
}

std::string step_1a(Text word) {                                                         // plurals
  if (word.size() == 4 && word.ends_with("ies")) return std::string(word.substr(0, 3));  // NLTK: dies, die
  constexpr std::array<Rule, 4> rules = {{{"sses", "ss"}, {"ies", "i"}, {"ss", "ss"}, {"s", ""}}};
  return apply(word, rules, -1);
}

// The end of a word that lost -ed or -ing.
std::string mend(std::string stem) {
  for (const Text ending : {"at", "bl", "iz"})
    if (stem.ends_with(ending)) return stem + "e";
  if (ends_in_double_consonant(stem)) {
    if (Text("lsz").find(stem.back()) == Text::npos) stem.pop_back();
    return stem;
  }
  return measure(stem) == 1 && ends_cvc(stem) ? stem + "e" : stem;
}

std::string step_1b(Text word) {               // -eed, -ed, -ing
  if (const auto stem = without(word, "ied"))  // NLTK: died, die; spied, spi
    return std::string(*stem) + (word.size() == 4 ? "ie" : "i");
  if (const auto stem = without(word, "eed"))
    return std::string(measure(*stem) > 0 ? word.substr(0, word.size() - 1) : word);
  for (const Text suffix : {"ed", "ing"})
    if (const auto stem = without(word, suffix); stem && contains_vowel(*stem)) return mend(std::string(*stem));
  return std::string(word);
}

std::string step_1c(Text word) {  // -y
  const auto stem = without(word, "y");
  // NLTK: behind a consonant that is not the whole stem (Porter: behind a stem with a vowel).
  const bool applies = stem && stem->size() > 1 && consonants(*stem).back();
  return applies ? std::string(*stem) + "i" : std::string(word);
}

std::string step_2(Text word) {
  // NLTK: -alli first, and what is left goes through the step again.
  if (const auto stem = without(word, "alli"); stem && measure(*stem) > 0)
    return step_2(word.substr(0, word.size() - 2));
  // NLTK: the l of -logi counts as part of the stem, so that "geologi" is treated as "archaeologi".
  if (word.ends_with("logi"))
    return std::string(measure(word.substr(0, word.size() - 3)) > 0 ? word.substr(0, word.size() - 1) : word);
  constexpr std::array<Rule, 21> rules = {
      {{"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"}, {"anci", "ance"}, {"izer", "ize"},
       {"bli", "ble"},     {"alli", "al"},     {"entli", "ent"}, {"eli", "e"},     {"ousli", "ous"},
       {"ization", "ize"}, {"ation", "ate"},   {"ator", "ate"},  {"alism", "al"},  {"iveness", "ive"},
       {"fulness", "ful"}, {"ousness", "ous"}, {"aliti", "al"},  {"iviti", "ive"}, {"biliti", "ble"},
       {"fulli", "ful"}}};
  return apply(word, rules, 0);
}

std::string step_3(Text word) {
  constexpr std::array<Rule, 7> rules = {
      {{"icate", "ic"}, {"ative", ""}, {"alize", "al"}, {"iciti", "ic"}, {"ical", "ic"}, {"ful", ""}, {"ness", ""}}};
  return apply(word, rules, 0);
}

std::string step_4(Text word) {
  constexpr std::array<Text, 19> suffixes = {"al",  "ance",  "ence", "er",  "ic",  "able", "ible",
                                             "ant", "ement", "ment", "ent", "ion", "ou",   "ism",
                                             "ate", "iti",   "ous",  "ive", "ize"};
  for (const Text suffix : suffixes)
    if (const auto stem = without(word, suffix)) {
      const bool applies = measure(*stem) > 1 && (suffix != "ion" || stem->back() == 's' || stem->back() == 't');
      return std::string(applies ? *stem : word);
    }
  return std::string(word);
}

std::string step_5(std::string word) {  // -e, -ll
  if (const auto stem = without(word, "e")) {
    const int m = measure(*stem);
    if (m > 1 || (m == 1 && !ends_cvc(*stem))) word.pop_back();
  }
  if (word.ends_with("ll") && measure(Text(word).substr(0, word.size() - 1)) > 1) word.pop_back();
  return word;
}

}  // namespace

std::string porter_stem(std::string_view word) {
  static const std::map<Text, Text> irregular = {
      {"sky", "sky"},        {"skies", "sky"},       {"dying", "die"},        {"lying", "lie"},
      {"tying", "tie"},      {"news", "news"},       {"innings", "inning"},   {"inning", "inning"},
      {"outings", "outing"}, {"outing", "outing"},   {"cannings", "canning"}, {"canning", "canning"},
      {"howe", "howe"},      {"proceed", "proceed"}, {"exceed", "exceed"},    {"succeed", "succeed"}};
  if (const auto found = irregular.find(word); found != irregular.end()) return std::string(found->second);
  if (word.size() <= 2) return std::string(word);
  return step_5(step_4(step_3(step_2(step_1c(step_1b(step_1a(word)))))));
}

}  // namespace steno
