// Whole-model measurements for bench/run.py, one JSON object each:
//
//   steno_bench prefill TOKENS    tokens/s of reading TOKENS by `dense`
//   steno_bench decode CONTEXT    tokens/s of 64 greedy steps after CONTEXT tokens
//   steno_bench parallel CONTEXT  tokens/s of all of 8 conversations decoded in step after CONTEXT tokens each
//   steno_bench policies TOKENS   reading speed of every method over `dense` of the same chunk, in turns
//   steno_bench stream TOKENS     seconds per token and RSS along a stream, by default of streaming-llm
//   steno_bench dialogue TURNS    the same along a conversation of TURNS turns from --data
//   steno_bench train SPANS       ICAE training steps of one span each, `--checkpoint` to run blocks twice
//   steno_bench compress TOKENS   compressing TOKENS tokens beside reading them
//   steno_bench first-token TOKENS  first token of an answer from a stored memory beside reading the text
//   steno_bench reload TOKENS     opening a stored memory of TOKENS source tokens
//   steno_bench turns TURNS       what one turn costs after 10, 50, 100, ... of them, against reading all of it again
//
// Token ids are pseudo-random unless --text names a file; speed does not depend on them.
#include <ATen/Parallel.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <sstream>

#include "base/error.h"
#include "base/heap.h"
#include "base/process.h"
#include "base/random.h"
#include "bench/dialogue.h"
#include "bench/learned.h"
#include "memory/feed_together.h"
#include "methods/method.h"
#include "model/loader.h"
#include "model/thread_waits.h"

namespace {

using namespace steno;
using nlohmann::json;

std::vector<TokenId> random_tokens(int64_t count, int64_t vocab, uint64_t seed) {
  Random random(seed);
  std::vector<TokenId> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(static_cast<TokenId>(random.below(static_cast<uint64_t>(vocab))));
  return ids;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

json prefill(const std::shared_ptr<const Decoder>& decoder, int64_t tokens, int64_t repeats) {
  const auto ids = random_tokens(tokens, decoder->config().vocab, 1);
  std::vector<double> rates;
  for (int64_t i = 0; i <= repeats; ++i) {
    const auto stream = method_named("dense").open_stream(decoder, {});
    const Stopwatch watch;
    stream->feed(ids, LogitRows::last);
    if (i > 0) rates.push_back(static_cast<double>(tokens) / watch.seconds());
  }
  return {{"what", "prefill"}, {"tokens", tokens}, {"tokens_per_s", median(rates)}, {"all", rates}};
}

json decode(const std::shared_ptr<const Decoder>& decoder, int64_t context, int64_t tokens, int64_t repeats) {
  const auto ids = random_tokens(context, decoder->config().vocab, 2);
  std::vector<double> rates;
  for (int64_t i = 0; i <= repeats; ++i) {
    const auto stream = method_named("dense").open_stream(decoder, {});
    at::Tensor logits = stream->feed(ids, LogitRows::last).logits;
    const Stopwatch watch;
    for (int64_t t = 0; t < tokens; ++t) {
      const auto id = static_cast<TokenId>(logits.argmax().item<int64_t>());
      logits = stream->feed(std::span(&id, 1), LogitRows::last).logits;
    }
    if (i > 0) rates.push_back(static_cast<double>(tokens) / watch.seconds());
  }
  return {
      {"what", "decode"}, {"context", context}, {"tokens", tokens}, {"tokens_per_s", median(rates)}, {"all", rates}};
}

json parallel(const std::shared_ptr<const Decoder>& decoder, int64_t conversations, int64_t context, int64_t tokens,
              int64_t repeats) {
  std::vector<double> rates;
  for (int64_t i = 0; i <= repeats; ++i) {
    std::vector<std::unique_ptr<Stream>> streams;
    std::vector<Stream*> pointers;
    std::vector<TokenId> next;
    for (int64_t s = 0; s < conversations; ++s) {
      const auto ids = random_tokens(context, decoder->config().vocab, 10 + static_cast<uint64_t>(s));
      streams.push_back(method_named("dense").open_stream(decoder, {}));
      pointers.push_back(streams.back().get());
      next.push_back(static_cast<TokenId>(streams.back()->feed(ids, LogitRows::last).logits.argmax().item<int64_t>()));
    }
    const Stopwatch watch;
    for (int64_t t = 0; t < tokens; ++t) {
      const auto results = feed_together(pointers, next, LogitRows::last);
      for (size_t s = 0; s < next.size(); ++s)
        next[s] = static_cast<TokenId>(results[s].logits.argmax().item<int64_t>());
    }
    if (i > 0) rates.push_back(static_cast<double>(conversations * tokens) / watch.seconds());
  }
  return {{"what", "parallel"}, {"conversations", conversations}, {"context", context},
          {"tokens", tokens},   {"tokens_per_s", median(rates)},  {"all", rates}};
}

// Every method beside `dense` with the same chunk, in turns; ratios of the pairs, above 1 = quicker than dense.
json policies(const std::shared_ptr<const Decoder>& decoder, int64_t tokens, int64_t budget, int64_t chunk,
              int64_t repeats) {
  const auto ids = random_tokens(tokens, decoder->config().vocab, 4);
  const auto seconds = [&](const std::string& method) {
    const auto stream =
        method_named(method).open_stream(decoder, {.budget = budget, .chunk_size = chunk, .params = {}});
    const Stopwatch watch;
    stream->feed(ids, LogitRows::none);
    return watch.seconds();
  };
  seconds("dense");
  json ratios = json::object();
  for (const Method* method : methods()) {
    // These keep text and read nothing until they are asked, or need an adapter that was trained for the model.
    if (method->name() == "dense" || method->name() == "recompute" || method->name() == "retrieval") continue;
    if (method->needs_training()) continue;
    std::vector<double> pairs;
    for (int64_t i = 0; i < repeats; ++i) {
      const double dense = seconds("dense");
      pairs.push_back(dense / seconds(method->name()));
    }
    ratios[method->name()] = median(pairs);
  }
  return {{"what", "policies"}, {"tokens", tokens}, {"budget", budget}, {"chunk", chunk}, {"ratio_to_dense", ratios}};
}

// The first `count` tokens of a text, or pseudo-random ones without a text.
std::vector<TokenId> stream_tokens(const std::string& model, const std::string& text, int64_t count, int64_t vocab) {
  if (text.empty()) return random_tokens(count, vocab, 3);
  std::ifstream file(text, std::ios::binary);
  if (!file) throw InputError("cannot open '{}'", text);
  std::ostringstream content;
  content << file.rdbuf();
  auto ids = load_model(model).tokenizer->encode(content.str(), {.add_special = true, .parse_special = false});
  if (static_cast<int64_t>(ids.size()) < count)
    throw InputError("'{}' holds {} tokens, {} asked for", text, ids.size(), count);
  ids.resize(static_cast<size_t>(count));
  return ids;
}

json stream_curve(const std::shared_ptr<const Decoder>& decoder, const std::string& method, int64_t budget,
                  int64_t chunk, const std::vector<TokenId>& ids) {
  constexpr int64_t kStep = 1024, kWarm = 16384;
  StreamOptions options;
  options.budget = budget;
  options.chunk_size = chunk;
  const auto stream = method_named(method).open_stream(decoder, options);
  const auto tokens = static_cast<int64_t>(ids.size());
  json curve = json::array();
  int64_t warm_rss = 0, top_rss = 0;
  const auto read = [&](Stream& into, int64_t first, int64_t count) {
    const Stopwatch watch;
    into.feed(std::span(ids).subspan(static_cast<size_t>(first), static_cast<size_t>(count)), LogitRows::none);
    return watch.seconds() / static_cast<double>(count);
  };
  for (int64_t done = 0; done < tokens;) {
    const int64_t count = std::min(kStep, tokens - done);
    const double cost = read(*stream, done, count);
    done += count;
    const int64_t rss = rss_bytes();
    if (done <= kWarm)
      warm_rss = rss;
    else
      top_rss = std::max(top_rss, rss);
    curve.push_back(
        {{"tokens", done}, {"s_per_token", cost}, {"rss_bytes", rss}, {"slots", stream->accounting().slots}});
  }
  // The old stream and a young one in turns, so that a machine that slows down slows both.
  const auto young = method_named(method).open_stream(decoder, options);
  read(*young, 0, std::min<int64_t>(4096, tokens));
  std::vector<double> early, late;
  for (int64_t i = 0; i + 1 < std::min<int64_t>(24, tokens / kStep); ++i) {
    early.push_back(read(*young, i * kStep, kStep));
    late.push_back(read(*stream, i * kStep, kStep));
  }
  return {{"what", "stream"},
          {"method", method},
          {"budget", budget},
          {"chunk", stream->chunk_size()},
          {"seconds_per_token_4k", median(early)},
          {"seconds_per_token_end", median(late)},
          {"rss_bytes_warm", warm_rss},
          {"warm_tokens", kWarm},
          {"rss_bytes_most", top_rss},
          {"rss_growth", static_cast<double>(top_rss - warm_rss) / static_cast<double>(warm_rss)},
          {"curve", curve}};
}

}  // namespace

int main(int argc, char** argv) {
  std::string what, model, method = "streaming-llm", text, data;
  int64_t tokens = 0, repeats = 3, threads = 0, budget = 1024, chunk = 0;
  CLI::App app("whole-model measurements");
  app.add_option("what", what)
      ->required()
      ->check(CLI::IsMember({"prefill", "decode", "parallel", "policies", "stream", "dialogue", "turns", "train",
                             "compress", "first-token", "reload"}));
  app.add_option("tokens", tokens)->required()->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
  app.add_option("--model", model)->required();
  app.add_option("--threads", threads);
  app.add_option("--repeats", repeats)->check(CLI::Range(int64_t{1}, int64_t{100}));
  app.add_option("--method", method);
  app.add_option("--budget", budget);
  app.add_option("--chunk", chunk, "tokens read at once, for stream; 0: chosen by the method");
  app.add_option("--text", text);
  app.add_option("--data", data, "records of dialogues, for dialogue and turns");
  LearnedSizes sizes;
  bool checkpoint = false;
  app.add_option("--slots", sizes.slots, "per span, for train, compress, first-token, reload");
  app.add_option("--ratio", sizes.ratio);
  app.add_option("--rank", sizes.rank);
  app.add_flag("--checkpoint", checkpoint);
  CLI11_PARSE(app, argc, argv);
  try {
    if (threads > 0) at::set_num_threads(static_cast<int>(threads));
    yield_cores_when_busy();
    json result;
    const bool trains = what == "train";
    if (!trains) keep_freed_pages();
    const Model loaded = load_model(model, {.keep_quantised = !trains});
    const auto& decoder = loaded.decoder;
    sizes.repeats = repeats;
    if (trains) {
      sizes.repeats = tokens;
      result = train_steps(loaded, sizes, checkpoint);
    } else if (what == "compress")
      result = compress_speed(loaded, sizes, tokens);
    else if (what == "first-token")
      result = first_token(loaded, sizes, tokens);
    else if (what == "reload")
      result = reload(loaded, sizes, tokens);
    else if (what == "prefill")
      result = prefill(decoder, tokens, repeats);
    else if (what == "decode")
      result = decode(decoder, tokens, 64, repeats);
    else if (what == "parallel")
      result = parallel(decoder, 8, tokens, 64, repeats);
    else if (what == "policies")
      result = policies(decoder, tokens, budget, chunk > 0 ? chunk : 512, repeats);
    else if (what == "dialogue" || what == "turns") {
      if (data.empty()) throw UsageError("--data is missing: a file of dialogues");
      const auto turns = dialogue_turns(*loaded.tokenizer, data, tokens);
      result = what == "turns" ? turn_costs(decoder, method, budget, turns, repeats)
                               : dialogue_curve(decoder, method, budget, turns);
    } else
      result =
          stream_curve(decoder, method, budget, chunk, stream_tokens(model, text, tokens, decoder->config().vocab));
    result["threads"] = at::get_num_threads();
    result["peak_rss_bytes"] = peak_rss_bytes();
    std::cout << result.dump() << "\n";
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
