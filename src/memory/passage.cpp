#include "memory/passage.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "base/error.h"
#include "base/interrupt.h"
#include "memory/bm25.h"

namespace steno {
namespace {

constexpr std::array kRules = {ChoiceRule::automatic, ChoiceRule::bm25, ChoiceRule::attention, ChoiceRule::order};
constexpr int64_t kSlotsAtOnce = 2048;

std::vector<double> order_scores(size_t passages) {
  std::vector<double> scores(passages);
  for (size_t i = 0; i < passages; ++i) scores[i] = -static_cast<double>(i);
  return scores;
}

bool all_have_text(std::span<const Passage> passages) {
  return std::none_of(passages.begin(), passages.end(), [](const Passage& p) { return p.tokens.empty(); });
}

void read_one(MemoryReader& reader, const Passage& passage) {
  if (passage.raw()) {
    reader.feed(passage.tokens, LogitRows::none);
  } else {
    const SpanSlots slots = passage.load();
    reader.read_slots(std::span(&slots, 1));
  }
}

}  // namespace

const char* choice_rule_name(ChoiceRule rule) {
  switch (rule) {
    case ChoiceRule::automatic:
      return "auto";
    case ChoiceRule::bm25:
      return "bm25";
    case ChoiceRule::attention:
      return "attention";
    case ChoiceRule::order:
      return "order";
  }
  return "";
}

ChoiceRule choice_rule_named(const std::string& owner, const std::string& name) {
  for (const ChoiceRule rule : kRules)
    if (name == choice_rule_name(rule)) return rule;
  throw UsageError("[{}] spans are chosen by auto, bm25, attention or order, not by '{}'", owner, name);
}

std::vector<size_t> take_best(std::span<const double> scores, std::span<const int64_t> positions, int64_t room) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  std::vector<size_t> taken;
  for (const size_t i : order) {
    if (positions[i] > room) continue;
    room -= positions[i];
    taken.push_back(i);
  }
  std::sort(taken.begin(), taken.end());
  return taken;
}

std::vector<double> bm25_scores(std::span<const Passage> passages, std::span<const TokenId> question) {
  Bm25Index index;
  for (const Passage& passage : passages) index.add_passage(passage.tokens);
  return index.scores(question, index.passages());
}

std::vector<double> attention_scores(const Compressor& compressor, std::span<const TokenId> opening,
                                     std::span<const Passage> passages, std::span<const TokenId> question,
                                     const std::function<void(int64_t)>& progress) {
  const c10::InferenceMode inference;
  std::vector<double> scores;
  for (const Passage& passage : passages) {
    check_interrupt("choosing what to read, nothing answered");
    const auto reader = compressor.open_reader();
    if (!opening.empty()) reader->feed(opening, LogitRows::none);
    const int64_t first = reader->accounting().slots;
    read_one(*reader, passage);
    const int64_t end = reader->accounting().slots;
    reader->begin(ReaderTask::instruct, LogitRows::none);
    const at::Tensor given = reader->feed_attending(question);
    if (!given.defined()) return {};
    scores.push_back(given.narrow(0, first, end - first).sum(at::kDouble).item<double>());
    if (progress) progress(static_cast<int64_t>(scores.size()));
  }
  return scores;
}

PassageChoice choose_passages(const Compressor& compressor, std::span<const TokenId> opening,
                              std::span<const Passage> passages, std::span<const TokenId> question, int64_t room,
                              ChoiceRule rule, const std::function<void(int64_t)>& progress) {
  std::vector<int64_t> positions;
  for (const Passage& passage : passages) positions.push_back(passage.positions());
  PassageChoice choice;
  const int64_t all = std::accumulate(positions.begin(), positions.end(), int64_t{0});
  if (all <= room) {
    choice.read.resize(passages.size());
    std::iota(choice.read.begin(), choice.read.end(), size_t{0});
    choice.positions = all;
    return choice;
  }
  if (rule == ChoiceRule::bm25 && !all_have_text(passages))
    throw UsageError("[memory] bm25 needs the source text, and some spans were stored without it; choose by attention");
  choice.rule = rule;
  if (rule == ChoiceRule::automatic) choice.rule = all_have_text(passages) ? ChoiceRule::bm25 : ChoiceRule::attention;
  if (choice.rule == ChoiceRule::bm25) choice.scores = bm25_scores(passages, question);
  if (choice.rule == ChoiceRule::attention) {
    choice.scores = attention_scores(compressor, opening, passages, question, progress);
    if (choice.scores.empty()) {
      if (rule == ChoiceRule::attention)
        throw UsageError("[memory] this method cannot tell what a question attends to; choose by bm25 or order");
      choice.rule = ChoiceRule::order;
    }
  }
  if (choice.rule == ChoiceRule::order) choice.scores = order_scores(passages.size());
  choice.read = take_best(choice.scores, positions, room);
  if (choice.read.empty())
    throw InputError(
        "[memory] not one of {} spans fits: {} of the reader's {} positions are left for them, the smallest takes {}; "
        "take a smaller --max-new-tokens, a larger --room or a shorter question",
        passages.size(), std::max<int64_t>(room, 0), compressor.window(),
        *std::min_element(positions.begin(), positions.end()));
  for (size_t i = 0, next = 0; i < passages.size(); ++i) {
    if (next < choice.read.size() && choice.read[next] == i) {
      choice.positions += positions[i];
      ++next;
    } else {
      choice.unread.push_back(i);
    }
  }
  return choice;
}

std::unique_ptr<MemoryReader> read_passages(const Compressor& compressor, std::span<const TokenId> opening,
                                            std::span<const Passage> passages, std::span<const size_t> chosen,
                                            ReaderTask task, const std::function<void(int64_t)>& progress) {
  auto reader = compressor.open_reader();
  if (!opening.empty()) reader->feed(opening, LogitRows::none);
  int64_t done = 0;
  for (size_t at = 0; at < chosen.size();) {
    check_interrupt("reading the memory, nothing answered");
    // Neighbours are read together: the weights are then read once for all of them.
    std::vector<SpanSlots> slots;
    int64_t rows = 0;
    while (at < chosen.size() && !passages[chosen[at]].raw() && rows < kSlotsAtOnce) {
      slots.push_back(passages[chosen[at]].load());
      done += passages[chosen[at]].positions();
      rows += passages[chosen[at++]].slots;
    }
    if (slots.empty()) {
      done += passages[chosen[at]].positions();
      read_one(*reader, passages[chosen[at++]]);
    } else {
      reader->read_slots(slots);
    }
    if (progress) progress(done);
  }
  reader->begin(task, LogitRows::none);
  return reader;
}

}  // namespace steno
