#include "eval/tasks/prompt_run.h"

#include "base/error.h"
#include "eval/prompts/draw.h"

namespace steno {
namespace {

// How much of the needles is held, mean over their tokens, the layers and the heads.
double kept_share(const std::vector<TokenRange>& needles, const std::vector<float>& held) {
  double all = 0, share = 0;
  for (const TokenRange& needle : needles) {
    for (int64_t position = needle.first; position <= needle.last; ++position, ++all)
      share += position < static_cast<int64_t>(held.size()) ? held[static_cast<size_t>(position)] : 0;
  }
  return all == 0 ? 0 : share / all;
}

Json range_json(const TokenRange& range) { return Json::array({range.first, range.last}); }

}  // namespace

Prompt to_prompt(const BuiltPrompt& built, const PromptEncoder& encoder, std::string key) {
  Prompt prompt{.key = std::move(key),
                .context = built.context_ids,
                .question = built.question_ids,
                .closed_book = encoder.context(""),
                .utterance_ends = built.utterance_ends};
  prompt.closed_book.insert(prompt.closed_book.end(), built.question_ids.begin(), built.question_ids.end());
  return prompt;
}

uint64_t PromptRun::item_seed(size_t item) const { return mix_seeds({seed_, seed_of(items_[item].id)}); }

Json PromptRun::run(size_t item, const Arm& arm, const ItemProgress& progress) {
  const Asked asked = build(item);
  GenerateOptions options = greedy(asked.max_new_tokens, asked.stop);
  options.stop.insert(options.stop.end(), encoder_.stops().begin(), encoder_.stops().end());
  Answerer answerer(model_, std::move(options));
  // With a key the context is read once for all answers.
  const bool again = !removals(item).empty();
  const Prompt prompt = to_prompt(asked.prompt, encoder_, again ? items_[item].id : "");
  Answer answer = answerer.answer(arm, prompt, progress);
  Json line = score(item, arm, asked, answer.generated);
  if (again) add_removals(item, arm, asked, prompt, answerer, progress, line);
  line["question"] = asked.prompt.question + asked.prompt.answer_prefix;
  line["references"] = asked.prompt.references;
  line["seed"] = item_seed(item);
  const bool closed = arm.control == Control::closed_book;
  if (!asked.prompt.needles.empty() && !closed) {
    line["needle"] = range_json(asked.prompt.needles.front());
    if (asked.prompt.needles.size() > 1) {
      line["needles"] = Json::array();
      for (const TokenRange& range : asked.prompt.needles) line["needles"].push_back(range_json(range));
    }
    line["needle_kept"] = kept_share(asked.prompt.needles, answer.held);
  }
  line.update(answer.line);
  return line;
}

void PromptRun::add_removals(size_t item, const Arm& arm, const Asked& asked, const Prompt& prompt, Answerer& answerer,
                             const ItemProgress& progress, Json& line) {
  const Json scores = line.at("scores");
  for (const SlotRemoval& removal : removals(item)) {
    const auto answer = answerer.answer_without(arm, prompt, removal.positions, progress);
    if (!answer) {
      line["not_removed"].push_back(removal.name);
      continue;
    }
    line["predictions_with_slots_removed"][removal.name] = answer->generated.text;
    const Json less = score(item, arm, asked, answer->generated);
    for (const auto& [name, value] : less.at("scores").items()) {
      line["scores"][name + "_" + removal.name] = value;
      if (name == headline())
        line["scores"]["drop_" + removal.name] = scores.at(name).get<double>() - value.get<double>();
    }
  }
}

Filler read_filler(DataFiles& data, const std::string& name) {
  std::vector<std::string> texts;
  for (DocumentRecord& record : data.records_of<DocumentRecord>(name, true)) texts.push_back(std::move(record.text));
  return Filler::natural(data.path(name).filename().string(), texts);
}

std::vector<std::string> parse_name_list(const std::string& owner, const std::string& name, const std::string& text) {
  std::vector<std::string> names;
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    names.push_back(text.substr(at, comma - at));
    if (names.back().empty()) throw UsageError("[{}] {}: '{}' has an empty place", owner, name, text);
    at = comma + 1;
  }
  return names;
}

std::vector<int64_t> parse_positive_list(const std::string& owner, const std::string& name, const std::string& text,
                                         int64_t least) {
  std::vector<int64_t> numbers = parse_int_list(owner, name, text);
  for (const int64_t number : numbers)
    if (number < least) throw UsageError("[{}] {} must be at least {}, not {}", owner, name, least, number);
  return numbers;
}

int64_t trials_per_cell(const std::string& owner, int64_t trials, int64_t limit) {
  if (trials < 1) throw UsageError("[{}] trials must be at least 1, not {}", owner, trials);
  return limit > 0 ? std::min(trials, limit) : trials;
}

}  // namespace steno
