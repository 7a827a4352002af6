#include <gtest/gtest.h>

#include <map>

#include "metrics/bleu.h"
#include "metrics/golden_test_util.h"
#include "metrics/nltk_bleu.h"
#include "metrics/tokenise.h"

namespace steno {
namespace {

BleuSettings settings_of(const nlohmann::json& json) {
  static const std::map<std::string, BleuTokens> tokens = {{"none", BleuTokens::none}, {"char", BleuTokens::character}};
  static const std::map<std::string, BleuSmoothing> smoothing = {
      {"none", BleuSmoothing::none}, {"floor", BleuSmoothing::floor}, {"add-k", BleuSmoothing::add_k}};
  BleuSettings settings;
  for (const auto& [name, value] : json.items())
    if (name == "tokenize")
      settings.tokens = tokens.at(value);
    else if (name == "smooth_method")
      settings.smoothing = smoothing.at(value);
    else if (name == "smooth_value")
      settings.smooth_value = value.get<double>();
    else if (name == "lowercase")
      settings.lower_case = value;
    else if (name == "effective_order")
      settings.effective_order = value;
    else if (name == "max_ngram_order")
      settings.max_order = value;
    else
      throw std::runtime_error("no such setting: " + name);
  return settings;
}

std::string without_version(const std::string& signature) { return signature.substr(0, signature.find("|version")); }

TEST(BleuGolden, SacreBleu) {
  const auto pairs = golden_pairs();
  for (const auto& row : read_golden("bleu.json", "rows")) {
    const BleuSettings settings = settings_of(row.at("settings"));
    SCOPED_TRACE(row.at("settings").dump());
    std::vector<BleuStats> stats;
    for (size_t i = 0; i < pairs.size(); ++i) {
      stats.push_back(bleu_stats(pairs[i].hypothesis, pairs[i].references, settings));
      EXPECT_NEAR(bleu_from_stats(stats.back(), settings).score, row.at("sentences").at(i), 1e-6)
          << i << ": " << pairs[i].hypothesis << " / " << pairs[i].references[0];
    }
    for (const auto& corpus : row.at("corpora")) {
      BleuStats sum;
      size_t least = 99, most = 0;
      for (size_t i = corpus.at("range").at(0); i < corpus.at("range").at(1); ++i) {
        sum += stats[i];
        least = std::min(least, pairs[i].references.size());
        most = std::max(most, pairs[i].references.size());
      }
      const BleuScore score = bleu_from_stats(sum, settings);
      EXPECT_NEAR(score.score, corpus.at("score"), 1e-6);
      EXPECT_NEAR(score.brevity_penalty, corpus.at("bp"), 1e-6);
      for (size_t n = 0; n < score.precisions.size(); ++n)
        EXPECT_NEAR(score.precisions[n], corpus.at("precisions").at(n), 1e-6);
      EXPECT_EQ(without_version(bleu_signature(settings, least == most ? static_cast<int>(most) : 0)),
                without_version(corpus.at("signature")));
    }
  }
}

TEST(BleuGolden, Nltk) {
  const auto pairs = golden_pairs();
  for (const auto& row : read_golden("nltk_bleu.json", "rows")) {
    const std::string method = row.at("smoothing");
    const auto smoothing = static_cast<NltkSmoothing>(method.back() - '0');
    const std::vector<double> weights = row.at("weights");
    const bool words = row.at("unit") == "words";
    const auto cut = [&](const std::string& text) { return words ? split_spaces(text) : tokenise_characters(text); };
    SCOPED_TRACE(row.at("unit").dump() + method + row.at("weights").dump());
    std::vector<Tokens> hypotheses;
    std::vector<std::vector<Tokens>> references;
    for (size_t at = 0; at < row.at("pairs").size(); ++at) {
      const GoldenPair& pair = pairs.at(row.at("pairs").at(at));
      hypotheses.push_back(cut(pair.hypothesis));
      references.emplace_back();
      for (const auto& reference : pair.references) references.back().push_back(cut(reference));
      EXPECT_NEAR(nltk_sentence_bleu(references.back(), hypotheses.back(), weights, smoothing),
                  row.at("sentences").at(at), 1e-6)
          << pair.hypothesis << " / " << pair.references[0];
    }
    for (const auto& corpus : row.at("corpora")) {
      const size_t begin = corpus.at("range").at(0), count = corpus.at("range").at(1).get<size_t>() - begin;
      EXPECT_NEAR(nltk_corpus_bleu(std::span(references).subspan(begin, count),
                                   std::span(hypotheses).subspan(begin, count), weights, smoothing),
                  corpus.at("score"), 1e-6);
    }
  }
}

}  // namespace
}  // namespace steno
