#include "bench/dialogue.h"

#include <algorithm>

#include "base/error.h"
#include "base/heap.h"
#include "base/process.h"
#include "io/chat_format.h"
#include "io/records.h"
#include "methods/method.h"

namespace steno {
namespace {

using nlohmann::json;
using Turns = std::vector<std::vector<TokenId>>;

constexpr int64_t kAnswer = 16;  // tokens

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

struct Cost {
  double seconds;
  int64_t bytes;
};

// `ids` are read, then an answer is decoded.
Cost answer(Stream& stream, std::span<const TokenId> ids) {
  const Stopwatch watch;
  stream.reserve(static_cast<int64_t>(ids.size()) + kAnswer);
  at::Tensor logits = stream.feed(ids, LogitRows::last).logits;
  for (int64_t t = 1; t < kAnswer; ++t) {
    const auto id = static_cast<TokenId>(logits[-1].argmax().item<int64_t>());
    logits = stream.feed(std::span(&id, 1), LogitRows::last).logits;
  }
  return {watch.seconds(), stream.accounting().memory_bytes};
}

}  // namespace

Turns dialogue_turns(const Tokenizer& tokenizer, const std::filesystem::path& data, int64_t count) {
  const ChatFormat format = ChatFormat::named("chatml");
  Turns turns;
  struct Enough {};
  try {
    read_records(data, {}, [&](Record&& record) {
      const auto* dialogue = std::get_if<DialogueRecord>(&record);
      if (!dialogue) throw InputError("{}: no file of dialogues", data.string());
      for (const auto& utterance : dialogue->utterances) {
        if (static_cast<int64_t>(turns.size()) == count) throw Enough{};
        const char* role = turns.size() % 2 == 0 ? "user" : "assistant";
        turns.push_back(tokenizer.encode(format.render({{role, utterance.text}}, false), {.add_special = false}));
      }
    });
  } catch (const Enough&) {
  }
  if (static_cast<int64_t>(turns.size()) < count)
    throw InputError("'{}' holds {} turns, {} asked for", data.string(), turns.size(), count);
  return turns;
}

json dialogue_curve(const std::shared_ptr<const Decoder>& decoder, const std::string& method, int64_t budget,
                    const Turns& turns) {
  const auto stream = method_named(method).open_stream(decoder, {.budget = budget});
  const size_t step = std::max<size_t>(turns.size() / 100, 1), warm = std::max<size_t>(turns.size() / 10, 1);
  // Seconds per token of turns [first, first + step).
  const auto read = [&](Stream& into, size_t first) {
    const Stopwatch watch;
    size_t tokens = 0;
    for (size_t turn = first; turn < std::min(first + step, turns.size()); ++turn) {
      into.reserve(static_cast<int64_t>(turns[turn].size()));
      into.feed(turns[turn], LogitRows::none);
      tokens += turns[turn].size();
    }
    return watch.seconds() / static_cast<double>(tokens);
  };
  // The longest turn needs the largest scratch tensors; afterwards whatever grows is a leak.
  {
    const auto longest =
        std::max_element(turns.begin(), turns.end(), [](const auto& a, const auto& b) { return a.size() < b.size(); });
    const auto scratch = stream->fork();
    for (int64_t read = 0; read < 2048; read += static_cast<int64_t>(longest->size()))
      scratch->feed(*longest, LogitRows::none);
  }
  std::unique_ptr<Stream> young;
  json curve = json::array();
  int64_t warm_rss = 0, top_rss = 0, warm_heap = 0, top_heap = 0;
  for (size_t done = 0; done < turns.size();) {
    const double cost = read(*stream, done);
    done = std::min(done + step, turns.size());
    if (!young && done >= warm) young = stream->fork();
    const int64_t rss = rss_bytes(), heap = heap_bytes();
    if (done <= warm)
      warm_rss = rss, warm_heap = heap;
    else
      top_rss = std::max(top_rss, rss), top_heap = std::max(top_heap, heap);
    curve.push_back({{"turn", done},
                     {"tokens", stream->tokens_seen()},
                     {"s_per_token", cost},
                     {"rss_bytes", rss},
                     {"heap_bytes", heap},
                     {"slots", stream->accounting().slots}});
  }
  // Both in turns, so that a machine that slows down slows both.
  std::vector<double> early, late, ratios;
  read(*young, 0);
  for (size_t i = 0; i < std::min<size_t>(20, turns.size() / step); ++i) {
    early.push_back(read(*young, i * step));
    late.push_back(read(*stream, i * step));
    ratios.push_back(late.back() / early.back());
  }
  return {{"what", "dialogue"},
          {"method", method},
          {"budget", budget},
          {"turns", turns.size()},
          {"tokens", curve.back()["tokens"]},
          {"seconds_per_token_first_tenth", median(early)},
          {"seconds_per_token_end", median(late)},
          {"drift", median(ratios)},
          {"rss_bytes_warm", warm_rss},
          {"rss_bytes_most", top_rss},
          {"heap_bytes_warm", warm_heap},
          {"heap_bytes_most", top_heap},
          {"rss_growth", static_cast<double>(top_rss - warm_rss) / static_cast<double>(warm_rss)},
          {"curve", curve}};
}

json turn_costs(const std::shared_ptr<const Decoder>& decoder, const std::string& method, int64_t budget,
                const Turns& turns, int64_t repeats) {
  const auto going_on = method_named(method).open_stream(decoder, {.budget = budget});
  const auto cached = method_named("dense").open_stream(decoder, {});
  std::vector<TokenId> history;
  json rows = json::array();
  size_t done = 0;
  for (const size_t at : {10, 50, 100, 500, 1000, 5000, 10000}) {
    if (at > turns.size()) break;
    // Everything before turn `at` has been said.
    for (; done + 1 < at; ++done) {
      going_on->reserve(static_cast<int64_t>(turns[done].size()));
      going_on->feed(turns[done], LogitRows::none);
      history.insert(history.end(), turns[done].begin(), turns[done].end());
    }
    cached->feed(std::span(history).subspan(static_cast<size_t>(cached->tokens_seen())), LogitRows::none);
    std::vector<TokenId> whole = history;
    whole.insert(whole.end(), turns[done].begin(), turns[done].end());
    std::vector<double> ours, again, prefix;
    Cost kept{}, dense{};
    for (int64_t i = 0; i <= repeats; ++i) {  // the first round warms up
      const auto branch = going_on->fork(), copy = cached->fork();
      const auto fresh = method_named("dense").open_stream(decoder, {});
      kept = answer(*branch, turns[done]);
      const Cost with_prefix = answer(*copy, turns[done]);
      if (i == 0) continue;
      dense = answer(*fresh, whole);
      ours.push_back(kept.seconds);
      prefix.push_back(with_prefix.seconds);
      again.push_back(dense.seconds);
    }
    rows.push_back({{"turn", at},
                    {"history_tokens", history.size()},
                    {"turn_tokens", turns[done].size()},
                    {"seconds", median(ours)},
                    {"seconds_reread", median(again)},
                    {"seconds_prefix_cache", median(prefix)},
                    {"bytes", kept.bytes},
                    {"bytes_dense", dense.bytes},
                    {"times_less_time", median(again) / median(ours)},
                    {"times_less_time_than_prefix_cache", median(prefix) / median(ours)},
                    {"times_less_memory", static_cast<double>(dense.bytes) / static_cast<double>(kept.bytes)}});
  }
  return {{"what", "turns"}, {"method", method}, {"budget", budget}, {"answer_tokens", kAnswer}, {"curve", rows}};
}

}  // namespace steno
