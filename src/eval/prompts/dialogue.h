// Dialogues as prompts: one line an utterance, "NAME: TEXT\n", and the next speaker's name to answer behind.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "eval/prompts/encoder.h"

namespace steno {

struct Turn {
  std::string speaker, text;
};

// "NAME: TEXT"; a line end inside the text becomes a space, since it ends an utterance. Without a name: the text.
std::string dialogue_line(const Turn& turn);

// Context: the turns before `reply`, each an utterance that ends with its line end; question: the name of the one who
// replies. Reference: the text of turn `reply` >= 1. Utterances are tokenised each by itself, as in training.
BuiltPrompt build_reply(const PromptEncoder& encoder, const std::vector<Turn>& turns, size_t reply);

// Memory probes (evaluation, section 10).
enum class ProbeKind {
  recall,       // a fact, `age` turns, its question
  update,       // the fact is stated, changed half-way of its age, and asked for `age` turns after the change
  multi,        // `facts` facts in consecutive turns, one of them is asked for
  negative,     // something is asked for that was never stated; other facts were, `facts` - 1 of them
  attribution,  // as recall; asked again without the slots of utterance ends
  response,     // a query and its response, `age` turns, the query again: what was the response?
  utterance     // an utterance is said again at once; then from the slot of its end alone
};
const char* probe_kind_name(ProbeKind kind);
ProbeKind probe_kind_named(const std::string& name);  // throws UsageError that lists them

struct ProbeSpec {
  ProbeKind kind = ProbeKind::recall;
  int64_t age = 1;    // filler turns between the fact and its question
  int64_t facts = 1;  // 1 to 8
  // "Your locker code is" opens the answer. Leave it out to see whether the model says that it does not know.
  bool answer_prefix = true;
};

// Turns of real dialogues, one dialogue behind the other.
struct ProbeTexts {
  std::vector<std::string> turns;
  std::vector<size_t> pairs;  // turns i to which turn i + 1 answers, in the same dialogue
};

// Slots that are taken out of the memory before the question is asked once more.
struct SlotRemoval {
  std::string name;  // of scores: "correct" becomes "correct_NAME"
  std::vector<int64_t> positions;
};

struct ProbePrompt {
  BuiltPrompt prompt;  // references: what is asked for; empty for a negative probe
  std::string stale;   // update: the number before the change
  // attribution: without_ends, without_fact_end; utterance: from_end (all of the utterance but its end is gone).
  std::vector<SlotRemoval> removals;
};

// Filler turns are taken in order from a random place, round and round; User and Assistant speak them in turn. None of
// the numbers occurs in the turns that are used. Throws InputError without enough filler, UsageError.
ProbePrompt build_probe(const PromptEncoder& encoder, const ProbeTexts& texts, const ProbeSpec& spec, uint64_t seed);

// Whether an answer says that something is not known: it holds one of the usual phrases and no number.
bool says_unknown(const std::string& answer);

}  // namespace steno
