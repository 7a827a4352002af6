// Text reconstruction (evaluation, section 3): n tokens are read, and then reproduced after a fixed
// trigger.
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

// What stands around the text. Special tokens may be named in it: it is ours, not data.
struct CopyFrame {
  std::string before, after;
  std::vector<TokenId> before_ids, after_ids;
};
// `demonstrations` (0 to 6) fixed texts, each followed by its copy, then the place of the text, and `trigger`, which
// asks for it again: a text, or one token of the vocabulary ("<|ae|>"). An empty trigger is the one that the
// demonstrations use. `form` as in PromptEncoder: plain, or chat, where the user says each text and the assistant its
// copy. Throws UsageError.
CopyFrame copy_frame(const Tokenizer& tokenizer, const std::string& form, int64_t demonstrations,
                     const std::string& trigger);

struct ReconstructSpec {
  TextKind kind = TextKind::natural;
  int64_t tokens = 64;      // of the text
  int64_t readings = 1;     // how often the text is read, each time followed by the trigger
  int64_t hint_tokens = 0;  // first tokens of the text that the answer begins with; never scored
};

struct ReconstructPrompt {
  BuiltPrompt prompt;             // needles: the text; references: what is to be written, behind the hint
  std::vector<TokenId> expected;  // its ids
  int64_t max_new_tokens = 0;     // ceil(1.2 * expected) + 10
};

// The text is exactly `tokens` tokens, begins with a sentence (natural) and is the same for every frame. Shuffled
// text is tokenised anew and cut to size. Random tokens are uniform over ids that are not special and whose bytes are
// printable text by themselves. Throws InputError where no text was found that begins and ends between characters.
ReconstructPrompt build_reconstruct(const PromptEncoder& encoder, const Filler& source, const CopyFrame& frame,
                                    const ReconstructSpec& spec, uint64_t seed);

// Words that begin with a capital letter (A to Z) inside a sentence, each once: mostly names.
std::vector<std::string> names_in(const std::string& text);

}  // namespace steno
