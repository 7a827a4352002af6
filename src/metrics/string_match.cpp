#include "metrics/string_match.h"

#include <algorithm>
#include <limits>
#include <map>

#include "metrics/passkey_match.h"
#include "metrics/python_text.h"

namespace steno {
namespace {

bool occurs(const std::string& lower_text, std::string_view wanted) {
  return lower_text.find(to_lower(wanted)) != std::string::npos;
}

bool is_word_character(char32_t c) { return is_python_alphanumeric(c) || c == U'_'; }

std::string without_punctuation(const std::string& word) {
  const std::u32string characters = to_characters(word);
  const auto begin = std::find_if(characters.begin(), characters.end(), is_word_character);
  const auto end = std::find_if(characters.rbegin(), characters.rend(), is_word_character).base();
  return begin < end ? to_utf8({begin, end}) : "";
}

bool begins_with_capital(const std::string& word) {
  const std::u32string first = to_characters(word).substr(0, 1);
  return to_lower(to_utf8(first)) != to_utf8(first);
}

bool ends_sentence(const std::string& word) {
  const size_t last = word.find_last_not_of("\"')]}");
  return last != std::string::npos && std::string_view(".!?:").find(word[last]) != std::string_view::npos;
}

bool occurs_as_words(const std::u32string& text, const std::u32string& wanted) {
  if (wanted.empty()) return false;
  for (size_t at = text.find(wanted); at != std::u32string::npos; at = text.find(wanted, at + 1)) {
    const size_t end = at + wanted.size();
    const bool begins = at == 0 || !(is_word_character(text[at - 1]) && is_word_character(wanted.front()));
    const bool ends = end == text.size() || !(is_word_character(text[end]) && is_word_character(wanted.back()));
    if (begins && ends) return true;
  }
  return false;
}

using Counts = std::map<std::string, int64_t>;

double recall_of(const Counts& wanted, Counts given) {
  double total = 0, found = 0;
  for (const auto& [one, count] : wanted) {
    total += static_cast<double>(count);
    found += static_cast<double>(std::min(count, given[one]));
  }
  return total > 0 ? found / total : std::numeric_limits<double>::quiet_NaN();
}

Counts count_digit_runs(std::string_view text) {
  Counts counts;
  for (auto run = first_digit_run(text); !run.empty(); run = first_digit_run(text)) {
    ++counts[std::string(run)];
    text.remove_prefix(static_cast<size_t>(run.data() - text.data()) + run.size());
  }
  return counts;
}

}  // namespace

std::string clean_ruler_output(std::string_view output) {
  std::string text = strip(output);
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, '\n');
  return strip(text);
}

double string_match_all(std::string_view output, std::span<const std::string> references) {
  if (references.empty()) return 0;
  const std::string text = to_lower(clean_ruler_output(output));
  const auto found =
      std::count_if(references.begin(), references.end(), [&](const auto& wanted) { return occurs(text, wanted); });
  return static_cast<double>(found) / static_cast<double>(references.size());
}

double string_match_part(std::string_view output, std::span<const std::string> references) {
  return string_match_all(output, references) > 0 ? 1 : 0;
}

double keyword_recall(std::string_view output, std::span<const std::string> keywords) {
  if (keywords.empty()) return 0;
  const std::u32string text = to_characters(to_lower(output));
  const auto found = std::count_if(keywords.begin(), keywords.end(), [&](const auto& wanted) {
    return occurs_as_words(text, to_characters(to_lower(wanted)));
  });
  return static_cast<double>(found) / static_cast<double>(keywords.size());
}

double digit_recall(std::string_view output, std::string_view reference) {
  return recall_of(count_digit_runs(reference), count_digit_runs(output));
}

double name_recall(std::string_view output, std::string_view reference) {
  Counts wanted, given;
  bool begins_sentence = true;
  for (const auto& word : split_spaces(reference)) {
    const std::string bare = without_punctuation(word);
    if (!begins_sentence && begins_with_capital(bare)) ++wanted[bare];
    begins_sentence = ends_sentence(word);
  }
  for (const auto& word : split_spaces(output)) ++given[without_punctuation(word)];
  return recall_of(wanted, given);
}

}  // namespace steno
