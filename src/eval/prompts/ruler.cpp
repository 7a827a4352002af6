#include "eval/prompts/ruler.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "eval/prompts/fit.h"

namespace steno {

const std::vector<RulerKind>& ruler_kinds() {
  static const std::vector<RulerKind> kinds = {{"niah_single_1", true, 128, false, ""},
                                               {"niah_single_2", true, 128, true, ""},
                                               {"niah_single_3", true, 128, true, ""},
                                               {"niah_multikey_1", true, 128, true, ""},
                                               {"niah_multikey_2", true, 128, false, ""},
                                               {"niah_multikey_3", true, 128, false, ""},
                                               {"niah_multivalue", true, 128, true, ""},
                                               {"niah_multiquery", true, 128, true, ""},
                                               {"vt", true, 30, false, ""},
                                               {"cwe", true, 120, true, ""},
                                               {"fwe", true, 50, false, ""},
                                               {"qa_1", false, 32, false, "squad"},
                                               {"qa_2", false, 32, false, "hotpotqa"}};
  return kinds;
}

const RulerKind& ruler_kind_named(const std::string& name) {
  std::vector<std::string> names;
  for (const RulerKind& kind : ruler_kinds()) {
    if (kind.name == name) return kind;
    names.push_back(kind.name);
  }
  throw UsageError("[ruler] there is no kind '{}'; there are: {}", name, fmt::join(names, ", "));
}

namespace {

RulerRecipe recipe_of(const RulerKind& kind, const PromptEncoder& encoder, const RulerTexts& texts, int64_t length,
                      int64_t trial, Random random) {
  if (kind.essays && !texts.essays) throw InputError("[ruler] {}: needs essays to read from", kind.name);
  if (kind.name == "vt") return variable_tracking_recipe(random);
  if (kind.name == "cwe") return common_words_recipe(texts, length, random);
  if (kind.name == "fwe") return frequent_words_recipe(random);
  if (!kind.qa.empty()) {
    if (texts.questions.empty())
      throw InputError("[ruler] {}: the data has no question of the source '{}'", kind.name, kind.qa);
    return documents_recipe(texts, trial, random);
  }
  return niah_recipe(kind.name, encoder, texts, random);
}

BuiltPrompt encode(const PromptEncoder& encoder, RulerDraft draft) {
  BuiltPrompt prompt;
  prompt.context = std::move(draft.context);
  prompt.question = std::move(draft.question);
  prompt.answer_prefix = std::move(draft.answer_prefix);
  prompt.references = std::move(draft.references);
  prompt.context_ids = encoder.context(prompt.context);
  prompt.question_ids = encoder.question(prompt.question, prompt.answer_prefix);
  const std::vector<size_t> ends = encoder.token_ends(prompt.context_ids, prompt.context.size());
  for (const auto& [begin, end] : draft.needles) prompt.needles.push_back(PromptEncoder::range_of(ends, begin, end));
  return prompt;
}

}  // namespace

BuiltPrompt build_ruler(const RulerKind& kind, const PromptEncoder& encoder, const RulerTexts& texts, int64_t length,
                        int64_t trial, uint64_t seed) {
  const RulerRecipe recipe = recipe_of(kind, encoder, texts, length, trial, Random(seed));
  const auto count = [&](int64_t size) { return encode(encoder, recipe.draft(size)).tokens() + kind.new_tokens; };
  const int64_t size =
      fit_size(count, length, recipe.most, recipe.tokens_per_size, fmt::format("[ruler] {} at length", kind.name));
  return encode(encoder, recipe.draft(size));
}

}  // namespace steno
