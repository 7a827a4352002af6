#include "metrics/pltrdy_rouge.h"

#include <algorithm>
#include <set>
#include <vector>

#include "metrics/ngrams.h"

namespace steno {
namespace {

// A stretch of nothing but white space between two periods counts as a sentence of one empty word.
std::vector<Tokens> sentences_of(std::string_view text) {
  std::vector<Tokens> sentences;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('.', begin), text.size());
    if (end > begin) {
      sentences.push_back(split_spaces(text.substr(begin, end - begin)));
      if (sentences.back().empty()) sentences.back().emplace_back();
    }
    begin = end + 1;
  }
  return sentences;
}

Tokens words_of(const std::vector<Tokens>& sentences) {
  Tokens words;
  for (const auto& sentence : sentences) words.insert(words.end(), sentence.begin(), sentence.end());
  return words;
}

RougeScore score_of(size_t common, size_t predicted, size_t wanted) {
  RougeScore score;
  score.precision = predicted > 0 ? static_cast<double>(common) / static_cast<double>(predicted) : 0;
  score.recall = wanted > 0 ? static_cast<double>(common) / static_cast<double>(wanted) : 0;
  score.f1 = 2 * score.precision * score.recall / (score.precision + score.recall + 1e-8);
  return score;
}

RougeScore different_ngrams(const Tokens& prediction, const Tokens& reference, size_t n) {
  const auto given = count_ngrams(prediction, n), wanted = count_ngrams(reference, n);
  const auto common =
      std::count_if(given.begin(), given.end(), [&](const auto& one) { return wanted.contains(one.first); });
  return score_of(static_cast<size_t>(common), given.size(), wanted.size());
}

// Adds the words of one longest common subsequence; which one, the package's order of comparison decides.
void add_common_subsequence(std::set<std::string>& words, const Tokens& reference, const Tokens& prediction) {
  const size_t columns = prediction.size() + 1;
  std::vector<int32_t> table((reference.size() + 1) * columns, 0);
  const auto longest = [&](size_t i, size_t j) -> int32_t& { return table[i * columns + j]; };
  for (size_t i = 1; i <= reference.size(); ++i)
    for (size_t j = 1; j <= prediction.size(); ++j)
      longest(i, j) = reference[i - 1] == prediction[j - 1] ? longest(i - 1, j - 1) + 1
                                                            : std::max(longest(i - 1, j), longest(i, j - 1));
  for (size_t i = reference.size(), j = prediction.size(); i > 0 && j > 0;)
    if (reference[i - 1] == prediction[j - 1]) {
      words.insert(reference[i - 1]);
      --i, --j;
    } else if (longest(i - 1, j) > longest(i, j - 1)) {
      --i;
    } else {
      --j;
    }
}

}  // namespace

RougeScores score_pltrdy_rouge(std::string_view prediction, std::string_view reference) {
  const auto given = sentences_of(prediction), wanted = sentences_of(reference);
  if (given.empty() || wanted.empty()) return {};
  const Tokens given_words = words_of(given), wanted_words = words_of(wanted);
  std::set<std::string> common;
  for (const auto& wanted_sentence : wanted)
    for (const auto& given_sentence : given) add_common_subsequence(common, wanted_sentence, given_sentence);
  return {different_ngrams(given_words, wanted_words, 1), different_ngrams(given_words, wanted_words, 2),
          score_of(common.size(), count_ngrams(given_words, 1).size(), count_ngrams(wanted_words, 1).size())};
}

}  // namespace steno
