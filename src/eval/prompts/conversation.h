// Turns of User and Assistant around what a probe hides in them.
#pragma once
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "eval/prompts/dialogue.h"

namespace steno {

class Conversation {
 public:
  // Filler turns begin at a random place. None that holds one of `avoid` is used. The arguments outlive this object.
  Conversation(const std::vector<std::string>& filler, const std::set<std::string>& avoid, Random& random)
      : filler_(filler), avoid_(avoid), next_(random.below(filler.size())) {}

  void user(const std::string& text) { turns_.push_back({"User", text}); }
  void assistant(const std::string& text) { turns_.push_back({"Assistant", text}); }
  // One filler turn; whoever did not speak last speaks it. Throws InputError where none is left that may be used.
  void fill();
  size_t size() const { return turns_.size(); }

  // Context: `opening`, then the turns, each an utterance; needles: the turns `told`.
  BuiltPrompt build(const PromptEncoder& encoder, const std::string& opening, const std::set<size_t>& told) const;

 private:
  const std::vector<std::string>& filler_;
  const std::set<std::string>& avoid_;
  size_t next_;
  std::vector<Turn> turns_;
};

}  // namespace steno
