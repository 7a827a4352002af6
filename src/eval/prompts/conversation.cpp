#include "eval/prompts/conversation.h"

#include <algorithm>

#include "base/error.h"

namespace steno {

void Conversation::fill() {
  for (size_t tried = 0; tried < filler_.size(); ++tried) {
    const std::string& text = filler_[next_++ % filler_.size()];
    if (std::any_of(avoid_.begin(), avoid_.end(), [&](const auto& part) { return text.find(part) != text.npos; }))
      continue;
    const bool user_spoke = !turns_.empty() && turns_.back().speaker == "User";
    turns_.push_back({user_spoke ? "Assistant" : "User", text});
    return;
  }
  throw InputError("[dialogue] every filler turn holds what the probe asks for");
}

BuiltPrompt Conversation::build(const PromptEncoder& encoder, const std::string& opening,
                                const std::set<size_t>& told) const {
  BuiltPrompt prompt;
  prompt.context = opening;
  prompt.context_ids = encoder.context(opening);
  prompt.utterance_ends.push_back(static_cast<int64_t>(prompt.context_ids.size()));
  for (size_t i = 0; i < turns_.size(); ++i) {
    const std::string line = dialogue_line(turns_[i]) + "\n";
    prompt.context += line;
    const std::vector<TokenId> ids = encoder.text(line);
    const auto first = static_cast<int64_t>(prompt.context_ids.size());
    prompt.context_ids.insert(prompt.context_ids.end(), ids.begin(), ids.end());
    const auto end = static_cast<int64_t>(prompt.context_ids.size());
    if (told.contains(i)) prompt.needles.push_back({first, end - 1});
    prompt.utterance_ends.push_back(end);
  }
  return prompt;
}

}  // namespace steno
