// Probes that ask for an utterance again: the answer to an early query, and what was said last.
#include "eval/prompts/repeats.h"

#include <algorithm>

#include "base/error.h"
#include "eval/prompts/conversation.h"
#include "eval/prompts/draw.h"

namespace steno {
namespace {

constexpr const char* kOpening = "A conversation between a user and an assistant.\n";
constexpr const char* kEchoOpening =
    "A conversation between a user and an assistant. The assistant repeats what the user says, word for word.\n";
constexpr size_t kDemonstrations = 4;
constexpr size_t kFewestWords = 5;  // "Yes." and "Thank you." are known without any memory

size_t words_in(const std::string& text) {
  size_t words = 0;
  for (size_t i = 0; i < text.size(); ++i) words += text[i] != ' ' && (i == 0 || text[i - 1] == ' ');
  return words;
}

// Index into `candidates` of one that `fits`, the first from a random place on. Throws InputError without any.
template <class T, class Fits>
const T& draw_fitting(const std::vector<T>& candidates, Random& random, const Fits& fits) {
  const size_t first = candidates.empty() ? 0 : random.below(candidates.size());
  for (size_t i = 0; i < candidates.size(); ++i)
    if (const T& candidate = candidates[(first + i) % candidates.size()]; fits(candidate)) return candidate;
  throw InputError("[dialogue] the dialogues have too few utterances of {} words and more to ask for one again",
                   kFewestWords);
}

}  // namespace

BuiltPrompt build_response_recall(const PromptEncoder& encoder, const ProbeTexts& texts, int64_t age, Random& random) {
  const auto long_enough = [&](size_t i) {
    return words_in(texts.turns[i]) >= kFewestWords && words_in(texts.turns[i + 1]) >= kFewestWords;
  };
  const size_t query = draw_fitting(texts.pairs, random, long_enough);
  const std::string &asked = texts.turns[query], &answer = texts.turns[query + 1];
  const std::set<std::string> avoid = {asked, answer};
  Conversation talk(texts.turns, avoid, random);
  talk.user(asked);
  talk.assistant(answer);
  for (int64_t i = 0; i < age; ++i) talk.fill();
  BuiltPrompt prompt = talk.build(encoder, kOpening, {1});
  prompt.question = dialogue_line({"User", asked}) + "\nAssistant:";
  prompt.question_ids = encoder.question(prompt.question, "");
  prompt.references = {answer};
  return prompt;
}

BuiltPrompt build_echo(const PromptEncoder& encoder, const ProbeTexts& texts, Random& random) {
  std::set<std::string> used;
  Conversation talk(texts.turns, used, random);
  std::string last;
  for (size_t i = 0; i <= kDemonstrations; ++i) {
    last = draw_fitting(texts.turns, random, [&](const std::string& text) {
      return words_in(text) >= kFewestWords && !used.contains(text);
    });
    used.insert(last);
    talk.user(last);
    if (i < kDemonstrations) talk.assistant(last);
  }
  BuiltPrompt prompt = talk.build(encoder, kEchoOpening, {talk.size() - 1});
  prompt.question = "Assistant:";
  prompt.question_ids = encoder.question(prompt.question, "");
  prompt.references = {last};
  return prompt;
}

}  // namespace steno
