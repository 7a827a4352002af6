// Whole-model measurements, one JSON object each:
//
//   steno_bench prefill MODEL TOKENS [REPEATS]            tokens/s of reading TOKENS at once, dense
//   steno_bench decode MODEL CONTEXT TOKENS [REPEATS]     tokens/s of TOKENS greedy steps after CONTEXT tokens, dense
//   steno_bench stream MODEL METHOD BUDGET TOKENS EVERY   seconds per token and RSS along a stream
//
// Token ids are pseudo-random: speed does not depend on them. Threads: OMP_NUM_THREADS.
#include <ATen/Parallel.h>
#include <malloc.h>

#include <cstdlib>
#include <iostream>

#include "base/error.h"
#include "base/process.h"
#include "base/random.h"
#include "methods/method.h"
#include "model/loader.h"

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
  return {{"what", "decode"}, {"context", context}, {"tokens", tokens}, {"tokens_per_s", median(rates)}, {"all", rates}};
}

json stream_curve(const std::shared_ptr<const Decoder>& decoder, const std::string& method, int64_t budget, int64_t tokens, int64_t every) {
  StreamOptions options;
  options.budget = budget;
  const auto stream = method_named(method).open_stream(decoder, options);
  const auto ids = random_tokens(tokens, decoder->config().vocab, 3);
  json curve = json::array();
  for (int64_t done = 0; done < tokens;) {
    const int64_t count = std::min(every, tokens - done);
    const Stopwatch watch;
    stream->feed(std::span(ids).subspan(static_cast<size_t>(done), static_cast<size_t>(count)), LogitRows::none);
    done += count;
    curve.push_back({{"tokens", done}, {"s_per_token", watch.seconds() / static_cast<double>(count)},
                     {"rss_bytes", rss_bytes()}, {"slots", stream->accounting().slots}});
  }
  return {{"what", "stream"}, {"method", method}, {"budget", budget}, {"curve", curve}};
}

}  // namespace

int main(int argc, char** argv) {
  // Large scratch tensors come and go with every chunk; keep their pages instead of returning them to the system.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  const std::vector<std::string> args(argv + 1, argv + argc);
  if (args.size() < 3) {
    std::cerr << "usage: steno_bench prefill|decode|stream MODEL ...\n";
    return 2;
  }
  const auto number = [&](size_t i, int64_t fallback) { return i < args.size() ? std::atoll(args[i].c_str()) : fallback; };
  try {
    const auto decoder = load_decoder(args[1]);
    json result;
    if (args[0] == "prefill") result = prefill(decoder, number(2, 512), number(3, 3));
    else if (args[0] == "decode") result = decode(decoder, number(2, 512), number(3, 64), number(4, 3));
    else if (args[0] == "stream" && args.size() > 3)
      result = stream_curve(decoder, args[2], number(3, 1024), number(4, 4096), number(5, 1024));
    else return 2;
    result["threads"] = at::get_num_threads();
    result["peak_rss_bytes"] = peak_rss_bytes();
    std::cout << result.dump() << "\n";
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
