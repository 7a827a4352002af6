// Text reconstruction (evaluation, section 3): n tokens are read, and then reproduced after a fixed trigger.
#pragma once
#include <cstdint>
#include <string>

#include "eval/prompts/encoder.h"
#include "eval/prompts/filler.h"

namespace steno {

enum class TextKind {
  natural,   // running text
  shuffled,  // its words in random order: no guessing from grammar
  random     // random tokens: no guessing at all
};
const char* text_kind_name(TextKind kind);
TextKind text_kind_named(const std::string& name);  // throws UsageError that lists them

struct ReconstructSpec {
  TextKind kind = TextKind::natural;
  int64_t tokens = 64;      // of the text
  std::string before;       // fixed text in front of it
  std::string trigger;      // fixed text behind it, or the name of one token ("<|ae|>") in the vocabulary
  int64_t hint_tokens = 0;  // first tokens of the text that the trigger ends with; never scored
};

struct ReconstructPrompt {
  BuiltPrompt prompt;             // needles: the text; references: what is to be written, behind the hint
  std::vector<TokenId> expected;  // its ids
  int64_t max_new_tokens = 0;     // ceil(1.2 * expected) + 10
};

// The text is exactly `tokens` tokens, begins with a sentence (natural) and is the same for every trigger. Shuffled
// text is tokenised anew and cut to size. Random tokens are uniform over ids that are not special and whose bytes are
// printable text by themselves. Throws InputError where no text was found that begins and ends between characters.
ReconstructPrompt build_reconstruct(const PromptEncoder& encoder, const Filler& source, const ReconstructSpec& spec,
                                    uint64_t seed);

}  // namespace steno
