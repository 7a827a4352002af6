#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/error.h"
#include "eval/prompts/conversation.h"
#include "eval/prompts/draw.h"
#include "eval/prompts/repeats.h"

namespace steno {
namespace {

const std::vector<std::pair<ProbeKind, std::string>> kKinds = {
    {ProbeKind::recall, "recall"},      {ProbeKind::update, "update"},           {ProbeKind::multi, "multi"},
    {ProbeKind::negative, "negative"},  {ProbeKind::attribution, "attribution"}, {ProbeKind::response, "response"},
    {ProbeKind::utterance, "utterance"}};
const std::vector<std::string> kThings = {"locker code",         "badge number",      "garage code",
                                          "library card number", "parcel number",     "alarm code",
                                          "room number",         "bicycle lock code", "ticket number"};
constexpr int64_t kMostFacts = 8;  // one thing is left for a negative probe
constexpr const char* kOpening =
    "A conversation between a user and an assistant. The assistant remembers what the user has said, and says so when "
    "it does not know something.\n";

void check(const ProbeSpec& spec, size_t filler) {
  if (spec.age < 0) throw UsageError("[dialogue] ages must not be negative");
  if (spec.facts < 1 || spec.facts > kMostFacts)
    throw UsageError("[dialogue] facts must be 1 to {}, not {}", kMostFacts, spec.facts);
  if (filler == 0) throw InputError("[dialogue] there are no dialogues to take filler turns from");
}

// Evaluation, section 10, item 4: what the slots of utterance ends are worth.
std::vector<SlotRemoval> without_ends(const BuiltPrompt& prompt) {
  std::vector<SlotRemoval> removals = {{"without_ends", {}}, {"without_fact_end", {prompt.needles[0].last}}};
  for (const int64_t end : prompt.utterance_ends) removals[0].positions.push_back(end - 1);
  return removals;
}

// All slots of the utterance but that of its end.
SlotRemoval from_end(const TokenRange& utterance) {
  SlotRemoval removal{"from_end", {}};
  for (int64_t position = utterance.first; position < utterance.last; ++position) removal.positions.push_back(position);
  return removal;
}

ProbePrompt build_fact_probe(const PromptEncoder& encoder, const std::vector<std::string>& filler,
                             const ProbeSpec& spec, Random& random) {
  const bool negative = spec.kind == ProbeKind::negative;
  const int64_t facts = spec.kind == ProbeKind::multi ? spec.facts : negative ? spec.facts - 1 : 1;
  std::set<std::string> numbers;
  const auto number = [&] {
    return draw_new("numbers", numbers, random, [](Random& r) { return random_number(5, r); });
  };
  const std::vector<size_t> things = draw_indices(kThings.size(), static_cast<size_t>(facts) + 1, random);
  std::vector<std::string> values;
  for (int64_t i = 0; i < facts; ++i) values.push_back(number());
  const std::string changed = spec.kind == ProbeKind::update ? number() : "";
  const size_t asked = negative ? static_cast<size_t>(facts) : random.below(static_cast<uint64_t>(facts));
  const std::string& thing = kThings[things[asked]];

  Conversation talk(filler, numbers, random);
  std::set<size_t> told;  // the turns that hold the answer
  for (size_t i = 0; i < values.size(); ++i) {
    if (i == asked && changed.empty()) told.insert(talk.size());
    talk.user(fmt::format("By the way, my {} is {}.", kThings[things[i]], values[i]));
  }
  for (int64_t i = 0; i < spec.age; ++i) talk.fill();
  ProbePrompt probe;
  if (!changed.empty()) {
    told.insert(talk.size());
    talk.user(fmt::format("By the way, my {} has changed, it is now {}.", thing, changed));
    for (int64_t i = 0; i < spec.age; ++i) talk.fill();
    probe.stale = values[0];
  }

  probe.prompt = talk.build(encoder, kOpening, told);
  BuiltPrompt& prompt = probe.prompt;
  prompt.question = fmt::format("User: What is my {}?\nAssistant:", thing);
  if (spec.answer_prefix) prompt.answer_prefix = fmt::format(" Your {} is", thing);
  prompt.question_ids = encoder.question(prompt.question, prompt.answer_prefix);
  if (!negative) prompt.references = {changed.empty() ? values[asked] : changed};
  return probe;
}

}  // namespace

const char* probe_kind_name(ProbeKind kind) {
  for (const auto& [known, name] : kKinds)
    if (known == kind) return name.c_str();
  return "";
}

ProbeKind probe_kind_named(const std::string& name) {
  std::vector<std::string> names;
  for (const auto& [kind, known] : kKinds) {
    if (known == name) return kind;
    names.push_back(known);
  }
  throw UsageError("[dialogue] there is no probe '{}'; there are: {}", name, fmt::join(names, ", "));
}

ProbePrompt build_probe(const PromptEncoder& encoder, const ProbeTexts& texts, const ProbeSpec& spec, uint64_t seed) {
  check(spec, texts.turns.size());
  Random random(seed);
  ProbePrompt probe;
  switch (spec.kind) {
    case ProbeKind::response:
      probe.prompt = build_response_recall(encoder, texts, spec.age, random);
      return probe;
    case ProbeKind::utterance:
      probe.prompt = build_echo(encoder, texts, random);
      probe.removals = {from_end(probe.prompt.needles[0])};
      return probe;
    default:
      probe = build_fact_probe(encoder, texts.turns, spec, random);
      if (spec.kind == ProbeKind::attribution) probe.removals = without_ends(probe.prompt);
      return probe;
  }
}

bool says_unknown(const std::string& answer) {
  static constexpr std::array<std::string_view, 14> kPhrases = {
      "don't know",      "do not know",       "not know",           "unknown",       "not sure",
      "didn't tell",     "did not tell",      "haven't told",       "have not told", "didn't mention",
      "did not mention", "haven't mentioned", "have not mentioned", "no idea"};
  std::string text = answer;
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  for (size_t at = text.find("\u2019"); at != std::string::npos; at = text.find("\u2019")) text.replace(at, 3, 1, '\'');
  if (text.find_first_of("0123456789") != std::string::npos) return false;
  return std::any_of(kPhrases.begin(), kPhrases.end(), [&](auto p) { return text.find(p) != std::string::npos; });
}

}  // namespace steno
