#include "eval/prompts/dialogue.h"

#include <algorithm>

#include "base/error.h"

namespace steno {

std::string dialogue_line(const Turn& turn) {
  std::string line = turn.speaker.empty() ? turn.text : turn.speaker + ": " + turn.text;
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

BuiltPrompt build_reply(const PromptEncoder& encoder, const std::vector<Turn>& turns, size_t reply) {
  if (reply < 1 || reply >= turns.size())
    throw InputError("[dialogue] a dialogue of {} utterances has no reply number {}", turns.size(), reply + 1);
  BuiltPrompt prompt;
  prompt.context_ids = encoder.context("");
  for (size_t i = 0; i < reply; ++i) {
    const std::string line = dialogue_line(turns[i]) + "\n";
    prompt.context += line;
    const std::vector<TokenId> ids = encoder.text(line);
    prompt.context_ids.insert(prompt.context_ids.end(), ids.begin(), ids.end());
    prompt.utterance_ends.push_back(static_cast<int64_t>(prompt.context_ids.size()));
  }
  // A dialogue without names: the line end opens the reply's line, so that there is something to read.
  prompt.question = turns[reply].speaker.empty() ? "\n" : turns[reply].speaker + ":";
  prompt.question_ids = encoder.question(prompt.question, "");
  prompt.references = {turns[reply].text};
  return prompt;
}

}  // namespace steno
