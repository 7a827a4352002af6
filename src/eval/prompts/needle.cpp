#include "eval/prompts/needle.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "eval/prompts/draw.h"
#include "eval/prompts/fit.h"
#include "eval/prompts/words.h"

namespace steno {
namespace {

struct Riddle {
  std::vector<std::string> needles;
  std::string question, prefix;
  std::vector<std::string> references, keywords, recall;
};

Riddle standard_riddle() {
  return {{"The best thing to do in San Francisco is eat a sandwich and sit in Dolores Park on a sunny day."},
          "What is the best thing to do in San Francisco?",
          " The best thing to do in San Francisco is",
          {"eat a sandwich and sit in Dolores Park on a sunny day"},
          {"sandwich", "Dolores Park"},
          {"eat", "sandwich", "sit", "Dolores", "Park", "sunny", "day"}};
}

std::string note(const std::string& subject) { return "secret number that " + subject; }

std::string list_of(const std::vector<std::string>& parts) {
  std::string list;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) list += i + 1 == parts.size() ? " and " : ", ";
    list += parts[i];
  }
  return list;
}

// A person, an object and a number; every person and number is another one.
Riddle random_riddle(const NeedleSpec& spec, Random& random) {
  std::set<std::string> names, numbers;
  const auto subject = [&] {
    return draw_new("names", names, random, random_name) + " wrote on the " + draw(nouns(), random);
  };
  const auto number = [&] {
    return draw_new("numbers", numbers, random, [](Random& r) { return random_number(5, r); });
  };
  const bool one_key = spec.kind == NeedleKind::multi_value;
  const int64_t count = spec.kind == NeedleKind::single ? 1 : spec.needles;
  const bool all = spec.kind != NeedleKind::multi_key;
  Riddle riddle;
  std::vector<std::string> asked;
  std::string key;
  for (int64_t i = 0; i < count; ++i) {
    if (i == 0 || !one_key) key = subject();
    const std::string value = number();
    riddle.needles.push_back(fmt::format("{} {} is {}.", one_key ? "A" : "The", note(key), value));
    if (!all && i > 0) continue;
    if (i == 0 || !one_key) asked.push_back(key);
    riddle.references.push_back(value);
  }
  if (one_key) {
    riddle.question = fmt::format("What are all the secret numbers that {}?", key);
    riddle.prefix = fmt::format(" The secret numbers that {} are", key);
  } else if (asked.size() == 1) {
    riddle.question = fmt::format("What is the {}?", note(key = asked[0]));
    riddle.prefix = fmt::format(" The {} is", note(key));
  } else {
    riddle.question = fmt::format("What are the secret numbers that {}?", list_of(asked));
    riddle.prefix = fmt::format(" The secret numbers that {} are", list_of(asked));
  }
  riddle.keywords = riddle.recall = riddle.references;
  return riddle;
}

// gkamradt's rule on the tokens of the haystack: back from depth to just behind a period token, as a byte.
size_t insertion_byte(const PromptEncoder& encoder, const std::vector<TokenId>& ids, const std::vector<size_t>& ends,
                      double depth) {
  const auto head = static_cast<size_t>(encoder.head_tokens());
  if (depth >= 100) return std::string::npos;  // the end, wherever that is
  auto at = head + static_cast<size_t>(static_cast<double>(ids.size() - head) * depth / 100);
  while (at > head && encoder.tokenizer().piece(ids[at - 1]) != ".") --at;
  return at == 0 ? 0 : ends[at - 1];
}

void check(const NeedleSpec& spec) {
  if (spec.depth && (*spec.depth < 0 || *spec.depth > 100))
    throw UsageError("[needle] depth must be 0 to 100, not {}", *spec.depth);
  if (spec.buffer < 0) throw UsageError("[needle] buffer must not be negative");
  if (spec.kind == NeedleKind::single) return;
  if (spec.standard) throw UsageError("[needle] there is one standard needle only; several are random ones");
  if (spec.needles < 2 || spec.needles > 16) throw UsageError("[needle] needles must be 2 to 16, not {}", spec.needles);
}

}  // namespace

NeedleKind needle_kind_named(const std::string& name) {
  if (name == "multi-key") return NeedleKind::multi_key;
  if (name == "multi-value") return NeedleKind::multi_value;
  if (name == "multi-query") return NeedleKind::multi_query;
  throw UsageError("[needle] there is no kind '{}'; there are: multi-key, multi-value, multi-query", name);
}

NeedlePrompt build_needle(const PromptEncoder& encoder, const Filler& haystack, const NeedleSpec& spec, uint64_t seed) {
  check(spec);
  Random random(seed);
  const Riddle riddle = spec.standard ? standard_riddle() : random_riddle(spec, random);
  std::vector<double> depths;
  // Forty evenly spaced places, each taken once at most, where no depth is given.
  const std::vector<size_t> places = draw_indices(40, riddle.needles.size(), random);
  for (size_t i = 0; i < riddle.needles.size(); ++i)
    depths.push_back(spec.depth ? *spec.depth : static_cast<double>(places[i]) * 100 / 39);
  // gkamradt's haystack begins at its first essay; only random needles stand in other places of it.
  const size_t start = spec.standard ? 0 : haystack.random_start(random);

  const auto places_in = [&](int64_t bytes) {
    const std::string text = haystack.take(static_cast<size_t>(bytes), start);
    const std::vector<TokenId> ids = encoder.context(text);
    const std::vector<size_t> ends = encoder.token_ends(ids, text.size());
    std::vector<size_t> at;
    for (const double depth : depths) at.push_back(insertion_byte(encoder, ids, ends, depth));
    return at;
  };
  const auto weave_at = [&](int64_t bytes, const std::vector<size_t>& at) {
    std::vector<Insertion> insertions;
    for (size_t i = 0; i < at.size(); ++i) insertions.push_back({at[i], riddle.needles[i]});
    return weave(haystack.take(static_cast<size_t>(bytes), start), insertions, " ", false);
  };
  const auto count = [&](const Woven& woven) { return static_cast<int64_t>(encoder.text(woven.text).size()); };
  const int64_t target = spec.length - spec.buffer;
  const int64_t size = fit_size([&](int64_t bytes) { return count(weave_at(bytes, places_in(bytes))); }, target,
                                std::max<int64_t>(target, 1) * 64, 0.25,
                                fmt::format("[needle] length {} without the buffer of {}", spec.length, spec.buffer));
  const std::vector<size_t> at = places_in(size);
  const Woven woven = weave_at(use_up([&](int64_t bytes) { return count(weave_at(bytes, at)); }, target, size), at);

  NeedlePrompt built;
  BuiltPrompt& prompt = built.prompt;
  prompt.context = woven.text;
  prompt.question = "\n\nQuestion: " + riddle.question;
  prompt.answer_prefix = "\nAnswer:" + (spec.answer_prefix ? riddle.prefix : "");
  if (encoder.id() != "plain") {
    prompt.question = "\n\n" + riddle.question;
    prompt.answer_prefix = spec.answer_prefix ? riddle.prefix : "";
  }
  prompt.references = riddle.references;
  prompt.context_ids = encoder.context(prompt.context);
  prompt.question_ids = encoder.question(prompt.question, prompt.answer_prefix);
  const std::vector<size_t> ends = encoder.token_ends(prompt.context_ids, prompt.context.size());
  for (const auto& [begin, end] : woven.places) prompt.needles.push_back(PromptEncoder::range_of(ends, begin, end));
  built.keywords = riddle.keywords;
  built.recall = riddle.recall;
  return built;
}

}  // namespace steno
