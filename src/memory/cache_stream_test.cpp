#include "memory/cache_stream.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/files_test_util.h"
#include "io/mutate_test_util.h"
#include "io/safetensors.h"
#include "memory/stream_frame.h"
#include "model/loader.h"

namespace steno {
namespace {

std::shared_ptr<const Decoder> tiny() {
  return load_decoder(std::filesystem::path(STENO_SOURCE_DIR) / "tests/data/tiny_models/llama_tied",
                      {.dtype = at::kFloat});
}

// Two sinks and four recent slots.
std::unique_ptr<Stream> open(const std::shared_ptr<const Decoder>& decoder) {
  CacheStreamConfig config{
      .method = "toy", .version = 3, .positions = PositionMode::packed, .start = 2, .packed_limit = 6};
  config.chunk_size = 4;
  config.params["budget"] = "6";
  return open_cache_stream(decoder, std::make_shared<StartAndRecent>(2, 4), config);
}

std::vector<TokenId> some_ids(int64_t count) {
  std::vector<TokenId> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(static_cast<TokenId>(i * 37 % 100));
  return ids;
}

std::string saved_file(const std::shared_ptr<const Decoder>& decoder) {
  const auto stream = open(decoder);
  stream->feed(some_ids(15), LogitRows::none);
  EXPECT_EQ(stream->kept_positions(0, 0), (std::vector<int64_t>{0, 1, 11, 12, 13, 14}));
  const std::string path = test::program_file("cache_stream.safetensors");
  stream->save(path);
  return path;
}

TEST(CacheStream, NamesOfModesAndOrders) {
  EXPECT_EQ(position_mode_named("m", "gaps"), PositionMode::gaps);
  EXPECT_EQ(position_mode_named("m", "packed"), PositionMode::packed);
  EXPECT_EQ(eviction_order_named("m", "evict-first"), EvictionOrder::evict_first);
  EXPECT_EQ(eviction_order_named("m", "attend-first"), EvictionOrder::attend_first);
  EXPECT_THROW(position_mode_named("m", ""), UsageError);
  EXPECT_THROW(eviction_order_named("m", "packed"), UsageError);
}

TEST(CacheStream, RulesThatLookAtScoresAreRefused) {
  struct ByMass : Retention {
    std::vector<int64_t> victims(const SlotTable&, int64_t) const override { return {}; }
  };
  EXPECT_THROW(open_cache_stream(tiny(), std::make_shared<ByMass>(), {}), c10::Error);
}

// A file with a checksum that fits, so that what is behind it is looked at.
void rewrite(const std::string& path, const NamedTensors& tensors, std::map<std::string, std::string> metadata) {
  metadata["checksum"] = stream_checksum(metadata, tensors);
  write_safetensors(path, tensors, metadata);
}

TEST(CacheStream, ASavedTableThatCannotBeIsRefused) {
  const auto decoder = tiny();
  const std::string path = saved_file(decoder);
  const auto whole = SafetensorsFile::open(path);
  const at::Tensor positions = whole->tensor("slot.position").clone();
  // The error of loading the file with other positions, "" when it loads.
  const auto load_with = [&](const std::vector<int64_t>& changed) -> std::string {
    const std::string other = test::program_file("cache_stream_changed.safetensors");
    std::vector<std::pair<std::string, at::Tensor>> tensors;
    for (const auto& entry : whole->entries())
      tensors.emplace_back(entry.name,
                           entry.name == "slot.position" ? at::tensor(changed, at::kLong) : whole->tensor(entry.name));
    rewrite(other, tensors, whole->metadata());
    const auto stream = open(decoder);
    try {
      stream->load(other);
    } catch (const InputError& error) {
      EXPECT_EQ(stream->tokens_seen(), 0);
      EXPECT_EQ(stream->accounting().slots, 0);
      const std::string line = error.what();
      EXPECT_EQ(line.find(fmt::format("[load] {}: ", other)), 0u) << line;
      return line.substr(line.find(": ") + 2);
    }
    return "";
  };
  std::vector<int64_t> rows(positions.const_data_ptr<int64_t>(),
                            positions.const_data_ptr<int64_t>() + positions.numel());
  ASSERT_EQ(rows.size(), 6u);
  EXPECT_EQ(load_with(rows), "");
  const auto with = [&](size_t row, int64_t position) {
    auto changed = rows;
    changed[row] = position;
    return load_with(changed);
  };
  EXPECT_EQ(with(5, 15), "a slot is of token 15, of 15 tokens seen");
  EXPECT_EQ(with(3, -1), "a slot is of token -1, of 15 tokens seen");
  EXPECT_EQ(with(4, rows[3]), fmt::format("two slots are of token {}", rows[3]));
  auto swapped = rows;
  std::swap(swapped[1], swapped[4]);  // a sink out of the front rows
  EXPECT_EQ(load_with(swapped), "row 1 is not token 1");
  EXPECT_EQ(with(0, 2), "row 0 is not token 0");
}

// Damaged anywhere, a file is refused; with a checksum that fits the damage it loads as some memory or is refused, and
// a stream that loaded it can go on.
TEST(CacheStream, DamagedFilesAreRefused) {
  const auto decoder = tiny();
  const std::string path = saved_file(decoder);
  std::ifstream in(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  const std::string damaged = test::program_file("cache_stream_damaged.safetensors");
  const auto refused = [&] {
    const auto stream = open(decoder);
    try {
      stream->load(damaged);
    } catch (const InputError&) {
      EXPECT_EQ(stream->tokens_seen(), 0);
      return true;
    }
    const Accounting a = stream->accounting();
    EXPECT_GE(a.dropped_tokens, 0);
    EXPECT_EQ(stream->feed(some_ids(5), LogitRows::last).logits.size(0), 1);
    EXPECT_EQ(stream->tokens_seen(), a.source_tokens + 5);
    return false;
  };
  test::Mutator mutate(1);
  int loaded = 0, sealed = 0, sealed_loaded = 0;
  for (int i = 0; i < 1500; ++i) {
    const std::string changed = mutate(bytes);
    if (changed == bytes) continue;
    std::ofstream(damaged, std::ios::binary | std::ios::trunc) << changed;
    loaded += !refused();
    std::shared_ptr<const SafetensorsFile> file;
    try {
      file = SafetensorsFile::open(damaged);
      NamedTensors tensors;
      for (const auto& entry : file->entries()) tensors.emplace_back(entry.name, file->tensor(entry.name).clone());
      rewrite(damaged, tensors, file->metadata());
    } catch (const std::exception&) {
      continue;
    }
    ++sealed;
    sealed_loaded += !refused();
  }
  EXPECT_EQ(loaded, 0);
  EXPECT_GT(sealed, 100);
  EXPECT_GT(sealed_loaded, 0);
  EXPECT_LT(sealed_loaded, sealed);
}

}  // namespace
}  // namespace steno
