// Probes that ask for an utterance again, with real dialogues as their texts (evaluation, section 10, item 3).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/random.h"
#include "eval/prompts/dialogue.h"

namespace steno {

// Response recall: a query and its response, `age` filler turns, and the query again; the reference is the response.
// Both have five words or more, and neither stands in a filler turn. Throws InputError without such a pair.
BuiltPrompt build_response_recall(const PromptEncoder& encoder, const ProbeTexts& texts, int64_t age, Random& random);

// Utterance reconstruction: the user says something and the assistant repeats it, four times; the user says something
// more, which is the reference and the needle. Throws InputError without enough utterances of five words.
BuiltPrompt build_echo(const PromptEncoder& encoder, const ProbeTexts& texts, Random& random);

}  // namespace steno
