// How long memory files take: writing, opening with all checks, reading all slots, appending and deleting one document.
//   steno_memory_bench [TOKENS [DTYPE [FOLDER]]]
// Synthetic slots, 128 of 576 numbers per span of 512 tokens (4x on the default model); one JSON object.
#include <fmt/core.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/process.h"
#include "base/random.h"
#include "io/file_hash.h"
#include "memory/memory_writer.h"

namespace steno {
namespace {

constexpr int64_t kSpanTokens = 512, kSlots = 128, kWidth = 576, kTextBytes = 4 * kSpanTokens;

NewSpan synthetic_span(const std::string& source, int64_t index) {
  Random random(static_cast<uint64_t>(index) + 1);
  NewSpan span;
  span.info.source = source;
  span.info.token_begin = index * kSpanTokens;
  span.info.token_end = span.info.token_begin + kSpanTokens;
  span.info.byte_begin = index * kTextBytes;
  span.info.byte_end = span.info.byte_begin + kTextBytes;
  span.info.opens_document = index == 0;
  span.keep_text = true;
  while (static_cast<int64_t>(span.text.size()) < kTextBytes) span.text += static_cast<char>('a' + random.below(26));
  for (int64_t i = 0; i < kSpanTokens; ++i) span.tokens.push_back(static_cast<TokenId>(random.below(49152)));
  const at::Tensor slots = at::empty({kSlots, kWidth}, at::kFloat);
  float* data = slots.mutable_data_ptr<float>();
  for (int64_t i = 0; i < slots.numel(); ++i) data[i] = static_cast<float>(random.uniform() * 2 - 1);
  span.slots = {{{"slots", slots}}, kSpanTokens};
  return span;
}

MemoryHeader synthetic_header() {
  MemoryHeader header;
  header.method = "icae";
  header.method_version = 1;
  header.span_tokens = kSpanTokens;
  header.slots_per_span = kSlots;
  for (const char* key : {"model", "tokenizer", "rope", "adapter"}) header.identity[key] = hash_bytes(key);
  header.steno = "bench";
  return header;
}

template <class Action>
double seconds(Action action) {
  const Stopwatch clock;
  action();
  return clock.seconds();
}

double best_of_three(auto action) {
  double best = seconds(action);
  for (int i = 0; i < 2; ++i) best = std::min(best, seconds(action));
  return best;
}

nlohmann::ordered_json measure(int64_t tokens, SlotType type, const std::filesystem::path& folder) {
  const auto path = folder / fmt::format("bench.{}.memory", getpid());
  const int64_t spans = (tokens + kSpanTokens - 1) / kSpanTokens;
  MemoryWriter writer(synthetic_header());
  for (int64_t i = 0; i < spans; ++i) writer.add(synthetic_span("old.txt", i), type);
  WriteReport written, appended, deleted;
  const double write_s = seconds([&] { written = writer.write(path); });

  const double open_s = best_of_three([&] { MemoryFile::open(path); });
  const auto file = MemoryFile::open(path);
  double sum = 0;
  int64_t slots = 0;
  const double read_s = seconds([&] {
    for (size_t i = 0; i < file->spans().size(); ++i) {
      const SpanSlots read = file->slots(i);
      slots += read.slots();
      sum += read.tensors[0].second.const_data_ptr<float>()[0];
    }
  });
  const double append_s = seconds([&] {
    const auto old = MemoryFile::open(path);
    MemoryWriter append(old->header());
    append.keep_all(old);
    append.add(synthetic_span("new.txt", 0), type);
    appended = append.write(path);
  });
  const double delete_s = seconds([&] {
    const auto old = MemoryFile::open(path);
    MemoryWriter rest(old->header());
    for (size_t i = 1; i < old->spans().size(); ++i) rest.keep(old, i);
    deleted = rest.write(path);
  });
  std::filesystem::remove(path);
  return {{"source_tokens", tokens},
          {"slot_dtype", slot_type_name(type)},
          {"spans", spans},
          {"file_bytes", written.file_bytes},
          {"header_bytes", written.header_bytes},
          {"write_s", write_s},
          {"open_with_checksums_s", open_s},
          {"slots_read", slots},
          {"read_all_slots_as_f32_s", read_s},
          {"first_numbers_sum", sum},
          {"append_one_span_s", append_s},
          {"append_new_bytes", appended.new_bytes},
          {"append_kept_bytes", appended.kept_bytes},
          {"delete_one_span_s", delete_s},
          {"delete_new_bytes", deleted.new_bytes},
          {"peak_rss_bytes", peak_rss_bytes()}};
}

}  // namespace
}  // namespace steno

int main(int argc, char** argv) {
  try {
    const int64_t tokens = argc > 1 ? std::stoll(argv[1]) : 1'000'000;
    const auto type = steno::slot_type_named("steno_memory_bench", argc > 2 ? argv[2] : "bf16");
    const std::filesystem::path folder = argc > 3 ? argv[3] : std::filesystem::temp_directory_path();
    fmt::print("{}\n", steno::measure(tokens, type, folder).dump(1));
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "steno_memory_bench: {}\n", error.what());
    return 1;
  }
}
