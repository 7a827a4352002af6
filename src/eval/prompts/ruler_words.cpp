// RULER's aggregation over words: common words (cwe), frequent coded words (fwe), and chains of variables (vt).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <set>

#include "base/error.h"
#include "eval/prompts/draw.h"
#include "eval/prompts/ruler.h"
#include "eval/prompts/words.h"

namespace steno {
namespace {

std::string variable(Random& random) {
  std::string name = random_letters(5, random);
  std::transform(name.begin(), name.end(), name.begin(), [](char c) { return static_cast<char>(c - 'a' + 'A'); });
  return name;
}

std::string number5(Random& random) { return random_number(5, random); }

constexpr int kHops = 4;

struct Chain {
  std::vector<std::string> names, lines;
  std::string value;
};

Chain draw_chain(std::set<std::string>& used, Random& random) {
  Chain chain;
  chain.value = draw_new("values", used, random, number5);
  for (int i = 0; i <= kHops; ++i) {
    chain.names.push_back(draw_new("variables", used, random, variable));
    chain.lines.push_back(fmt::format("VAR {} = {}", chain.names.back(),
                                      i == 0 ? chain.value : "VAR " + chain.names[static_cast<size_t>(i) - 1]));
  }
  return chain;
}

// The chain's lines, in order, between `lines` lines of noise at the places given as shares.
Woven chain_in_noise(const Chain& chain, const std::vector<double>& places, int64_t lines) {
  const std::string noise = Filler::repeated().take(89);
  std::string text;
  std::vector<size_t> borders = {0};
  for (int64_t i = 0; i < lines; ++i) {
    text += (i > 0 ? "\n" : "") + noise;
    borders.push_back(text.size());
  }
  std::vector<Insertion> insertions;
  for (size_t i = 0; i < places.size(); ++i)
    insertions.push_back(
        {borders[std::min<size_t>(static_cast<size_t>(places[i] * static_cast<double>(lines + 1)), borders.size() - 1)],
         chain.lines[i]});
  return weave(text, insertions, "\n", false);
}

std::vector<double> sorted_places(size_t n, Random& random) {
  std::vector<double> places;
  for (size_t i = 0; i < n; ++i) places.push_back(random.uniform());
  std::sort(places.begin(), places.end());
  return places;
}

constexpr const char* kChainTask =
    "Keep track of the chain of variable assignments that is hidden in the following text.\n\n";
std::string chain_question(const Chain& chain) {
  return fmt::format("\nQuestion: Which variables have the value {} according to the text above?", chain.value);
}
std::string chain_prefix(const Chain& chain) {
  return fmt::format(" Answer: By the assignments in the text above, {} variables have the value {}, namely:",
                     chain.names.size(), chain.value);
}

std::string joined(const std::vector<std::string>& words, const char* joint) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : joint) + word;
  return text;
}

struct WordCount {
  std::string word;
  int64_t times;
};

std::string numbered(const std::vector<WordCount>& counts, Random random) {
  std::vector<std::string> words;
  for (const WordCount& c : counts) words.insert(words.end(), static_cast<size_t>(c.times), c.word);
  shuffle(words, random);
  std::string text;
  for (size_t i = 0; i < words.size(); ++i) text += fmt::format("{}{}. {}", i > 0 ? " " : "", i + 1, words[i]);
  return text;
}

constexpr const char* kWordsTask =
    "Below is a numbered list of words. Some of them stand in it more often than the others. Remember those that stand "
    "in it most often.\n";
constexpr const char* kWordsQuestion = "\nQuestion: Which are the 10 most common words of the list above?";
constexpr const char* kWordsPrefix = " Answer: The 10 words that stand in the list most often are:";
constexpr size_t kCommon = 10;

std::string counted_answer(const std::vector<std::string>& words) {
  std::string text;
  for (size_t i = 0; i < words.size(); ++i) text += fmt::format(" {}. {}", i + 1, words[i]);
  return text;
}

// Our own words, and then those of the essays that are no longer than ten letters.
std::vector<std::string> all_words(const RulerTexts& texts, size_t wanted, Random& random) {
  std::vector<std::string> words = adjectives();
  words.insert(words.end(), nouns().begin(), nouns().end());
  std::set<std::string> seen(words.begin(), words.end());
  const std::string text = texts.essays ? texts.essays->take(texts.essays->unit_bytes()) : std::string();
  std::string word;
  for (size_t i = 0; i < text.size() && words.size() < wanted; ++i) {
    if (text[i] >= 'a' && text[i] <= 'z') {
      word += text[i];
      continue;
    }
    if (word.size() >= 4 && word.size() <= 10 && seen.insert(word).second) words.push_back(word);
    word.clear();
  }
  shuffle(words, random);
  return words;
}

}  // namespace

RulerRecipe variable_tracking_recipe(Random random) {
  std::set<std::string> used;
  const Chain example = draw_chain(used, random), chain = draw_chain(used, random);
  const Woven shown = chain_in_noise(example, sorted_places(example.lines.size(), random), 5);
  const std::vector<double> places = sorted_places(chain.lines.size(), random);
  const std::string before = kChainTask + shown.text + chain_question(example) + chain_prefix(example) + " " +
                             joined(example.names, " ") + "\n\n" + kChainTask;
  RulerRecipe recipe;
  recipe.tokens_per_size = 25;
  recipe.most = int64_t{1} << 26;
  recipe.draft = [=](int64_t lines) {
    const Woven woven = chain_in_noise(chain, places, lines);
    RulerDraft draft;
    draft.context = before + woven.text;
    draft.question = chain_question(chain);
    draft.answer_prefix = chain_prefix(chain);
    draft.references = chain.names;
    for (const auto& [begin, end] : woven.places)
      draft.needles.emplace_back(begin + before.size(), end + before.size());
    return draft;
  };
  return recipe;
}

RulerRecipe common_words_recipe(const RulerTexts& texts, int64_t length, Random random) {
  const bool small = length < 4096;
  const int64_t common_times = small ? 6 : 30, other_times = small ? 1 : 3;
  const auto words =
      std::make_shared<const std::vector<std::string>>(all_words(texts, static_cast<size_t>(length), random));
  constexpr size_t kExampleOthers = 10;
  std::vector<WordCount> example;
  std::vector<std::string> example_common;
  for (size_t i = 0; i < kCommon + kExampleOthers; ++i) {
    example.push_back({(*words)[i], i < kCommon ? 3 : 1});
    if (i < kCommon) example_common.push_back((*words)[i]);
  }
  const std::string before = kWordsTask + numbered(example, Random(random.next())) + kWordsQuestion + kWordsPrefix +
                             counted_answer(example_common) + "\n\n" + kWordsTask;
  constexpr size_t kFirst = kCommon + kExampleOthers;
  const uint64_t order = random.next();
  RulerRecipe recipe;
  recipe.tokens_per_size = static_cast<double>(other_times) * 5;
  recipe.most = static_cast<int64_t>(words->size() - kFirst - kCommon);
  recipe.draft = [=](int64_t others) {
    std::vector<WordCount> counts;
    RulerDraft draft;
    for (size_t i = 0; i < kCommon + static_cast<size_t>(others); ++i) {
      counts.push_back({(*words)[kFirst + i], i < kCommon ? common_times : other_times});
      if (i < kCommon) draft.references.push_back((*words)[kFirst + i]);
    }
    draft.context = before + numbered(counts, Random(order));
    draft.question = kWordsQuestion;
    draft.answer_prefix = kWordsPrefix;
    return draft;
  };
  return recipe;
}

// Word of rank r = 2, 3, ... occurs n / (zeta(2) r^2) times; rank 1 is the noise word "...".
RulerRecipe frequent_words_recipe(Random random) {
  constexpr double kZeta2 = 1.6449340668482264;
  constexpr int64_t kVocabulary = 2000;
  std::set<std::string> used;
  auto coded = std::make_shared<std::vector<std::string>>();
  *coded = {"..."};
  while (static_cast<int64_t>(coded->size()) < kVocabulary)
    coded->push_back(draw_new("coded words", used, random, [](Random& r) { return random_letters(6, r); }));
  const uint64_t order = random.next();
  // The third word must be more frequent than the fourth: n / zeta(2) * (1/16 - 1/25) >= 1.
  constexpr int64_t kSmallest = 80;
  RulerRecipe recipe;
  recipe.tokens_per_size = 3;
  recipe.most = int64_t{1} << 26;
  recipe.draft = [coded, order](int64_t size) {
    const double words = static_cast<double>(size + kSmallest);
    std::vector<std::string> text;
    for (size_t i = 0; i < coded->size(); ++i) {
      const double rank = static_cast<double>(i + 1);
      text.insert(text.end(), static_cast<size_t>(words / (kZeta2 * rank * rank)), (*coded)[i]);
    }
    Random shuffling(order);
    shuffle(text, shuffling);
    RulerDraft draft;
    draft.context =
        "Read the following coded text and count how often each coded word occurs in it. Find the three that occur "
        "most often.\n" +
        joined(text, " ");
    draft.question =
        "\nQuestion: Ignore the dots '...' and explain nothing. Which three coded words occur most often in the text "
        "above?";
    draft.answer_prefix = " Answer: In the coded text above, the three words that occur most often are:";
    draft.references = {(*coded)[1], (*coded)[2], (*coded)[3]};
    return draft;
  };
  return recipe;
}

}  // namespace steno
