// The thirteen kinds of task of RULER (arXiv 2404.06654; evaluation, section 7) at a given length from local text.
//
// Form of the needles, numbers of keys, values, hops and words, metrics and numbers of new tokens are RULER's. The
// instructions around them and the word lists are our own, and essays come from a data file: compare figures with each
// other, not with published tables.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "eval/prompts/encoder.h"
#include "eval/prompts/filler.h"

namespace steno {

struct RulerKind {
  std::string name;     // "niah_single_1"
  bool all = true;      // scored by string_match_all, else by string_match_part
  int64_t new_tokens;   // part of the length
  bool essays = false;  // hides its needles in the essays
  std::string qa;       // reads questions from this source of the qa records ("squad", "hotpotqa"); empty: none
};
// In RULER's order.
const std::vector<RulerKind>& ruler_kinds();
const RulerKind& ruler_kind_named(const std::string& name);  // throws UsageError that lists them

// A question whose answer stands in its own documents, among others of the same source.
struct RulerQuestion {
  std::string question;
  std::vector<std::string> answers;
  std::vector<size_t> documents;  // its own, as indices of RulerTexts::documents
};
struct RulerTexts {
  const Filler* essays = nullptr;      // kinds with `essays`, and cwe for more words; alive while prompts are built
  std::vector<std::string> documents;  // kinds with `qa`
  std::vector<RulerQuestion> questions;
};

// Prompt and new tokens take at most `length` tokens; how many lines, needles, words or documents that is comes from a
// search. For kinds with `qa`, `trial` chooses the question. Throws InputError where the smallest one does not fit,
// and where texts are missing.
BuiltPrompt build_ruler(const RulerKind& kind, const PromptEncoder& encoder, const RulerTexts& texts, int64_t length,
                        int64_t trial, uint64_t seed);

// What the builders of the kinds hand to the search: texts without tokens yet.
struct RulerDraft {
  std::string context, question, answer_prefix;
  std::vector<std::string> references;
  std::vector<std::pair<size_t, size_t>> needles;  // bytes [begin, end) of the context
};
struct RulerRecipe {
  std::function<RulerDraft(int64_t size)> draft;  // size 0: the smallest; deterministic
  int64_t most = 0;                               // largest size there is material for
  double tokens_per_size = 10;                    // about
};
RulerRecipe niah_recipe(const std::string& kind, const PromptEncoder& encoder, const RulerTexts& texts, Random random);
RulerRecipe variable_tracking_recipe(Random random);
RulerRecipe common_words_recipe(const RulerTexts& texts, int64_t length, Random random);
RulerRecipe frequent_words_recipe(Random random);
RulerRecipe documents_recipe(const RulerTexts& texts, int64_t trial, Random random);

}  // namespace steno
