#include "bench/learned.h"

#include <ATen/ops/randn.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/process.h"
#include "base/random.h"
#include "memory/memory_writer.h"
#include "methods/method.h"
#include "train/adamw.h"

namespace steno {
namespace {

using nlohmann::json;

class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / fmt::format("steno_bench_{}", getpid())) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

std::vector<TokenId> random_tokens(int64_t count, int64_t vocab, uint64_t seed) {
  Random random(seed);
  std::vector<TokenId> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(static_cast<TokenId>(random.below(static_cast<uint64_t>(vocab))));
  return ids;
}

FieldValues training(const LearnedSizes& sizes) {
  return {
      {"k", std::to_string(sizes.slots)}, {"ratio", std::to_string(sizes.ratio)}, {"rank", std::to_string(sizes.rank)}};
}

// A compressor with a fresh adapter.
std::shared_ptr<const Compressor> compressor(const Model& model, const LearnedSizes& sizes, const Folder& folder) {
  const Method& icae = method_named("icae");
  icae.open_objective(model, "ae", training(sizes), 1)->save(folder.path() / "adapter", {});
  return icae.open_compressor(model, {{"adapter", (folder.path() / "adapter").string()}});
}

}  // namespace

json train_steps(const Model& model, const LearnedSizes& sizes, bool checkpoint) {
  FieldValues params = training(sizes);
  params["checkpoint"] = checkpoint ? "true" : "false";
  params["multi_span_share"] = "0";
  const auto objective = method_named("icae").open_objective(model, "ae", params, 1);
  Adamw adamw(objective->parameters(), {});
  const int64_t span = sizes.slots * sizes.ratio, loaded = rss_bytes();
  std::vector<double> seconds, losses;
  for (int64_t step = 0; step <= sizes.repeats; ++step) {
    Example example{.sample = static_cast<uint64_t>(step)};
    example.parts.push_back(random_tokens(span, model.decoder->config().vocab, 7 + static_cast<uint64_t>(step)));
    const Stopwatch watch;
    zero_gradients(objective->parameters());
    const LossSum sum = objective->accumulate(std::span(&example, 1), 1).at("ae");
    scale_gradients(objective->parameters(), 1.0 / static_cast<double>(sum.tokens));
    const double norm = gradient_norm(objective->parameters());
    if (norm > 2) scale_gradients(objective->parameters(), 2 / norm);
    adamw.step(1e-4);
    if (step > 0) seconds.push_back(watch.seconds());
    losses.push_back(sum.loss / static_cast<double>(sum.tokens));
  }
  return {{"what", "train"},
          {"checkpoint", checkpoint},
          {"tokens_per_s", static_cast<double>(span) / median(seconds)},
          {"seconds", seconds},
          {"losses", losses},
          {"peak_rss", peak_rss_bytes()},
          {"peak_above_model", peak_rss_bytes() - loaded}};
}

json compress_speed(const Model& model, const LearnedSizes& sizes, int64_t tokens) {
  const Folder folder;
  const auto icae = compressor(model, sizes, folder);
  const auto ids = random_tokens(tokens, model.decoder->config().vocab, 3);
  const auto spans = cut_fixed(ids, icae->span_tokens());
  const auto prefill = [&] {
    const auto stream = method_named("dense").open_stream(model.decoder, {});
    const Stopwatch watch;
    stream->feed(ids, LogitRows::none);
    return watch.seconds();
  };
  const auto compress = [&] {
    const Stopwatch watch;
    icae->compress(spans);
    return watch.seconds();
  };
  prefill(), compress();
  std::vector<double> ratios, rates;
  for (int64_t i = 0; i < sizes.repeats; ++i) {
    const double read = prefill(), written = compress();
    ratios.push_back(read / written);
    rates.push_back(static_cast<double>(tokens) / written);
  }
  return {{"what", "compress"},
          {"tokens", tokens},
          {"tokens_per_s", median(rates)},
          {"over_prefill", median(ratios)},
          {"all", ratios}};
}

json first_token(const Model& model, const LearnedSizes& sizes, int64_t tokens) {
  const Folder folder;
  const auto icae = compressor(model, sizes, folder);
  const int64_t vocab = model.decoder->config().vocab;
  const auto ids = random_tokens(tokens, vocab, 3), question = random_tokens(24, vocab, 4);
  const auto path = folder.path() / "text.memory";
  {
    MemoryWriter writer(memory_header(model, "icae", method_named("icae").version(),
                                      {{"adapter", (folder.path() / "adapter").string()}}, *icae));
    const auto spans = cut_fixed(ids, icae->span_tokens());
    const auto written = icae->compress(spans);
    int64_t at = 0;
    for (size_t i = 0; i < spans.size(); ++i) {
      NewSpan span;
      const auto count = static_cast<int64_t>(spans[i].size());
      span.info = {
          .source = "text", .byte_begin = at, .byte_end = at + count, .token_begin = at, .token_end = at + count};
      span.slots = written[i];
      span.text = std::string(static_cast<size_t>(count), 'x');
      span.tokens = spans[i];
      writer.add(span, SlotType::bf16);
      at += count;
    }
    writer.write(path);
  }
  json memory_side, dense_side;
  const auto from_memory = [&] {
    const Stopwatch watch;
    const auto file = MemoryFile::open(path);
    std::vector<SpanSlots> spans;
    for (size_t i = 0; i < file->spans().size(); ++i) spans.push_back(file->slots(i));
    const auto reader = icae->open_reader();
    reader->read_slots(spans);
    reader->begin(ReaderTask::instruct, LogitRows::none);
    reader->feed(question, LogitRows::last);
    const double seconds = watch.seconds();
    memory_side = {{"slots", reader->accounting().slots}, {"bytes", reader->accounting().memory_bytes}};
    return seconds;
  };
  const auto from_text = [&] {
    const Stopwatch watch;
    const auto stream = method_named("dense").open_stream(model.decoder, {});
    stream->feed(ids, LogitRows::none);
    stream->feed(question, LogitRows::last);
    const double seconds = watch.seconds();
    dense_side = {{"slots", stream->accounting().slots}, {"bytes", stream->accounting().memory_bytes}};
    return seconds;
  };
  from_memory();
  std::vector<double> ratios, memory_s, text_s;
  for (int64_t i = 0; i < sizes.repeats; ++i) {
    text_s.push_back(from_text());
    memory_s.push_back(from_memory());
    ratios.push_back(text_s.back() / memory_s.back());
  }
  return {
      {"what", "first-token"},    {"tokens", tokens},      {"memory_s", median(memory_s)}, {"text_s", median(text_s)},
      {"faster", median(ratios)}, {"memory", memory_side}, {"dense", dense_side},          {"all", ratios}};
}

json reload(const Model& model, const LearnedSizes& sizes, int64_t tokens) {
  const Folder folder;
  const auto icae = compressor(model, sizes, folder);
  const auto path = folder.path() / "big.memory";
  {
    MemoryWriter writer(memory_header(model, "icae", method_named("icae").version(), {}, *icae));
    const at::Tensor slots = at::randn({icae->slots_per_span(), model.decoder->config().d_model});
    const int64_t span_tokens = icae->span_tokens();
    for (int64_t at = 0; at < tokens; at += span_tokens) {
      const int64_t count = std::min(span_tokens, tokens - at);
      NewSpan span;
      span.info = {
          .source = "synthetic", .byte_begin = at, .byte_end = at + count, .token_begin = at, .token_end = at + count};
      span.slots = {{{"slots", slots + static_cast<double>(at)}}, count};
      span.text = std::string(static_cast<size_t>(count), 'x');
      span.tokens.assign(static_cast<size_t>(count), 1);
      writer.add(span, SlotType::bf16);
    }
    writer.write(path);
  }
  std::vector<double> opened, decoded;
  int64_t slots = 0, source = 0;
  for (int64_t i = 0; i < sizes.repeats; ++i) {
    const Stopwatch watch;
    const auto file = MemoryFile::open(path);
    opened.push_back(watch.seconds());
    slots = source = 0;
    for (size_t s = 0; s < file->spans().size(); ++s) {
      slots += file->slots(s).slots();
      source += file->spans()[s].tokens();
    }
    decoded.push_back(watch.seconds());
  }
  return {{"what", "reload"},         {"tokens", source},
          {"slots", slots},           {"file_bytes", static_cast<int64_t>(std::filesystem::file_size(path))},
          {"open_s", median(opened)}, {"open_and_decode_s", median(decoded)}};
}

}  // namespace steno
