// What passkey, needle, multi-needle, ruler, the memory probes and reconstruct share: a prompt is built for an item,
// answered by an arm, and scored.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "eval/answer.h"
#include "eval/prompts/dialogue.h"
#include "eval/prompts/encoder.h"
#include "eval/prompts/filler.h"
#include "eval/task.h"

namespace steno {

// The harness's form of a built prompt.
Prompt to_prompt(const BuiltPrompt& built, const PromptEncoder& encoder, std::string key = "");

class PromptRun : public TaskRun {
 public:
  // `form`: of PromptEncoder.
  PromptRun(const TaskInput& input, const std::string& form)
      : model_(input.model), encoder_(model_->tokenizer, form), seed_(input.seed) {}

  const std::vector<Item>& items() const override { return items_; }
  Json run(size_t item, const Arm& arm, const ItemProgress& progress) override;

 protected:
  struct Asked {
    BuiltPrompt prompt;
    int64_t max_new_tokens = 16;
    std::vector<std::string> stop;  // besides the chat format's
  };
  virtual Asked build(size_t item) = 0;
  // Keys of the item's line: "scores" at least. Called after build() of the same item.
  virtual Json score(size_t item, const Arm& arm, const Asked& asked, const Generated& generated) = 0;
  // What is asked once more, each from a memory that has lost these slots. Called after build() of the same item.
  // Its scores stand beside the others, with the name of the removal behind theirs; "drop_NAME" is what the headline
  // lost. Arms that cannot lose slots leave them out and are named in the line ("not_removed").
  virtual std::vector<SlotRemoval> removals(size_t item) const { return {}; }

  // The item's own seed: of the run's and of its name, so that a longer list of cells changes no item.
  uint64_t item_seed(size_t item) const;

  std::shared_ptr<const Model> model_;
  PromptEncoder encoder_;
  uint64_t seed_;
  std::vector<Item> items_;

 private:
  void add_removals(size_t item, const Arm& arm, const Asked& asked, const Prompt& prompt, Answerer& answerer,
                    const ItemProgress& progress, Json& line);
};

// Documents of a data file as something to hide needles in.
Filler read_filler(DataFiles& data, const std::string& name);
// "a,b,c" -> its parts. Throws UsageError for an empty one; `owner` and `name` begin its message.
std::vector<std::string> parse_name_list(const std::string& owner, const std::string& name, const std::string& text);
// min(trials, limit) where there is a limit. Throws UsageError below 1.
int64_t trials_per_cell(const std::string& owner, int64_t trials, int64_t limit);
// Each at least `least`. Throws UsageError.
std::vector<int64_t> parse_positive_list(const std::string& owner, const std::string& name, const std::string& text,
                                         int64_t least = 1);

}  // namespace steno
