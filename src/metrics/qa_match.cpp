#include "metrics/qa_match.h"

#include <algorithm>
#include <map>
#include <vector>

#include "metrics/python_text.h"
#include "metrics/regex.h"

namespace steno {
namespace {

bool is_ascii_punctuation(char32_t c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

bool is_trivia_quote(char32_t c) { return c == 0x2018 || c == 0x2019 || c == 0xB4; }

std::string join(const Tokens& tokens) {
  std::string text;
  for (const auto& token : tokens) text += (text.empty() ? "" : " ") + token;
  return text;
}

struct Overlap {
  double precision = 0, recall = 0, f1 = 0;
};

Overlap token_overlap(const Tokens& prediction, const Tokens& gold) {
  std::map<std::string_view, int64_t> left;
  for (const auto& token : gold) ++left[token];
  double common = 0;
  for (const auto& token : prediction) {
    const auto found = left.find(token);
    if (found == left.end() || found->second == 0) continue;
    --found->second;
    ++common;
  }
  if (common == 0) return {};
  const double precision = common / static_cast<double>(prediction.size());
  const double recall = common / static_cast<double>(gold.size());
  return {precision, recall, 2 * precision * recall / (precision + recall)};
}

bool is_verdict(const std::string& normalised) {
  return normalised == "yes" || normalised == "no" || normalised == "noanswer";
}

Overlap overlap_of(const std::string& prediction, const std::string& gold, QaDialect dialect) {
  if (dialect == QaDialect::hotpot && prediction != gold && (is_verdict(prediction) || is_verdict(gold))) return {};
  if (dialect == QaDialect::squad && (prediction.empty() || gold.empty()))
    return prediction == gold ? Overlap{1, 1, 1} : Overlap{};
  return token_overlap(split_spaces(prediction), split_spaces(gold));
}

}  // namespace

std::string normalise_answer(std::string_view answer, QaDialect dialect) {
  const bool trivia = dialect == QaDialect::trivia;
  // TriviaQA's underscore, which comes first there, is ASCII punctuation and becomes the same space here.
  std::u32string kept;
  for (const char32_t c : to_characters(to_lower(answer)))
    if (!is_ascii_punctuation(c) && !(trivia && is_trivia_quote(c)))
      kept += c;
    else if (trivia)
      kept += U' ';
  // Python's \b; PCRE2's depends on its version.
  static const Regex article(R"((?<![\p{L}\p{N}_])(?:a|an|the)(?![\p{L}\p{N}_]))");
  return join(split_spaces(article.replace(to_utf8(kept), " ")));
}

QaScore score_answer(std::string_view prediction, std::span<const std::string> golds, QaDialect dialect) {
  const std::string given = normalise_answer(prediction, dialect);
  std::vector<std::string> wanted;
  for (const auto& gold : golds) wanted.push_back(normalise_answer(gold, dialect));
  if (dialect == QaDialect::squad) {
    std::erase(wanted, "");
    if (wanted.empty()) wanted.emplace_back();
  }
  QaScore best;
  for (const auto& gold : wanted) {
    const bool exact = given == gold;
    if (exact) best.exact = 1;
    if (exact || (!gold.empty() && given.find(gold) != std::string::npos)) best.substring = 1;
    if (const Overlap overlap = overlap_of(given, gold, dialect); overlap.f1 > best.f1) {
      best.f1 = overlap.f1;
      best.precision = overlap.precision;
      best.recall = overlap.recall;
    }
  }
  return best;
}

std::string cut_answer(std::string_view generated) {
  constexpr std::string_view kPrefix = "answer:";
  std::string text = strip(generated);
  if (to_lower(text.substr(0, kPrefix.size())) == kPrefix) text = strip(text.substr(kPrefix.size()));
  return strip(text.substr(0, text.find('\n')));
}

}  // namespace steno
