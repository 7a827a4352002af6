// RULER's questions over documents (qa_1, qa_2): a question's own among others of the same source.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "eval/prompts/draw.h"
#include "eval/prompts/ruler.h"

namespace steno {
namespace {

constexpr const char* kTask =
    "Answer the question from the documents that are given. Write the answer only and no other words.\n\n";

}  // namespace

RulerRecipe documents_recipe(const RulerTexts& texts, int64_t trial, Random random) {
  const RulerQuestion& asked = texts.questions[static_cast<size_t>(trial) % texts.questions.size()];
  // Others in random order; a larger prompt adds to a smaller one's.
  std::vector<size_t> others;
  for (size_t i = 0; i < texts.documents.size(); ++i)
    if (std::find(asked.documents.begin(), asked.documents.end(), i) == asked.documents.end()) others.push_back(i);
  shuffle(others, random);
  const uint64_t order = random.next();
  RulerRecipe recipe;
  recipe.tokens_per_size = 150;
  recipe.most = static_cast<int64_t>(others.size());
  recipe.draft = [&texts, &asked, others, order](int64_t size) {
    std::vector<size_t> chosen = asked.documents;
    chosen.insert(chosen.end(), others.begin(), others.begin() + size);
    Random shuffling(order);
    shuffle(chosen, shuffling);
    RulerDraft draft;
    draft.context = kTask;
    for (size_t i = 0; i < chosen.size(); ++i) {
      if (i > 0) draft.context += "\n\n";
      draft.context += fmt::format("Document {}:\n", i + 1);
      const size_t begin = draft.context.size();
      draft.context += texts.documents[chosen[i]];
      if (std::find(asked.documents.begin(), asked.documents.end(), chosen[i]) != asked.documents.end())
        draft.needles.emplace_back(begin, draft.context.size());
    }
    draft.question = fmt::format("\n\nQuestion: {}", asked.question);
    draft.answer_prefix = " Answer:";
    draft.references = asked.answers;
    return draft;
  };
  return recipe;
}

}  // namespace steno
