#include "train/token_shards.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "base/files_test_util.h"
#include "base/random.h"
#include "io/content_checksum.h"
#include "io/safetensors.h"
#include "train/example_source.h"

namespace steno {
namespace {

using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

std::shared_ptr<const Tokenizer> tokenizer_of(const std::string& name) {
  return Tokenizer::from_json(std::string(STENO_SOURCE_DIR) + "/tests/data/" + name);
}
const std::shared_ptr<const Tokenizer>& stories_tokenizer() {
  static const auto tokenizer = tokenizer_of("stories260K/tokenizer.json");
  return tokenizer;
}

std::vector<std::filesystem::path> eval_files() {
  const auto folder = std::filesystem::path(STENO_SOURCE_DIR) / "tests/data/eval";
  return {folder / "documents.jsonl.zst", folder / "qa.jsonl", folder / "longqa.jsonl", folder / "dialogue.jsonl"};
}

std::multiset<std::vector<std::vector<TokenId>>> records_of(const std::vector<std::filesystem::path>& shards) {
  std::multiset<std::vector<std::vector<TokenId>>> all;
  for (const auto& path : shards) {
    const TokenShard shard = open_shard(path, *stories_tokenizer());
    for (int64_t record = 0; record < shard.records.size(); ++record) {
      std::vector<std::vector<TokenId>> parts;
      for (int64_t part = 0; part < shard.records.parts_of(record); ++part)
        parts.push_back(shard.records.part(record, part));
      all.insert(parts);
    }
  }
  return all;
}

TEST(TokenShards, GiveTheExamplesOfTheFilesTheyWereMadeFrom) {
  const TemporaryFolder folder;
  const auto written = write_shards(folder.path() / "all.shard", eval_files(), *stories_tokenizer(), {});
  ASSERT_EQ(written.files, std::vector{folder.path() / "all.shard"});
  EXPECT_EQ(written.sources["files"].size(), 4u);
  EXPECT_EQ(written.left_out, 0);
  for (const DataConfig& config : {DataConfig{}, DataConfig{.piece = 50, .packing = 50, .answer = "random"}}) {
    const auto direct = open_examples(eval_files(), stories_tokenizer(), config);
    const auto mapped = open_examples(written.files, stories_tokenizer(), config);
    ASSERT_EQ(mapped->size(), direct->size());
    for (uint64_t sample = 0; sample < 2 * static_cast<uint64_t>(direct->size()); ++sample)
      EXPECT_EQ(mapped->at(sample, 3).parts, direct->at(sample, 3).parts);
  }
  const TokenShard shard = open_shard(written.files[0], *stories_tokenizer());
  EXPECT_EQ(shard.records.tokens().scalar_type(), at::kUInt16);
  EXPECT_EQ(shard.records.size(), written.records);
  EXPECT_EQ(shard.sources["files"][1]["name"], "qa.jsonl");
  EXPECT_EQ(shard.sources["files"][1]["hash"].get<std::string>().size(), 32u);
}

TEST(TokenShards, AContextThatQuestionsShareIsKeptOnce) {
  const TemporaryFolder folder;
  std::string lines, context(2000, 'a');
  for (int i = 0; i < 9; ++i)
    lines += Json({{"context", context}, {"question", "Q" + std::to_string(i)}, {"answers", {"x", "y"}}}).dump() + "\n";
  const auto written =
      write_shards(folder.path() / "a.shard", {folder.file("a.jsonl", lines)}, *stories_tokenizer(), {});
  const TokenShard shard = open_shard(written.files[0], *stories_tokenizer());
  EXPECT_EQ(shard.records.size(), 9);
  EXPECT_EQ(shard.records.parts_of(0), 4);
  EXPECT_EQ(shard.records.part(0, 0), shard.records.part(8, 0));
  EXPECT_LT(shard.records.total_tokens(), 2 * shard.records.length(0, 0));
}

TEST(TokenShards, SplitBySize) {
  const TemporaryFolder folder;
  const auto whole = write_shards(folder.path() / "all.shard", eval_files(), *stories_tokenizer(), {});
  const int64_t limit = whole.bytes / 3;
  const auto split =
      write_shards(folder.path() / "split.shard", eval_files(), *stories_tokenizer(), {.split_bytes = limit});
  ASSERT_GE(split.files.size(), 3u);
  EXPECT_EQ(split.files[0].filename().string(), fmt::format("split-00001-of-{:05}.shard", split.files.size()));
  for (const auto& path : split.files) {
    const TokenShard shard = open_shard(path, *stories_tokenizer());
    EXPECT_LE(static_cast<int64_t>(shard.records.tokens().nbytes() + shard.records.parts().nbytes() +
                                   shard.records.records().nbytes()),
              limit);
  }
  EXPECT_EQ(records_of(split.files), records_of(whole.files));
  EXPECT_THAT(
      [&] { write_shards(folder.path() / "s.shard", eval_files(), *stories_tokenizer(), {.split_bytes = 100}); },
      ThrowsMessage<InputError>(AllOf(HasSubstr("--split-bytes"), HasSubstr("shard of 100"))));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "s.shard"));
}

TEST(TokenShards, ARandomChoiceFitsAndDependsOnTheSeed) {
  const TemporaryFolder folder;
  const auto choose = [&](uint64_t seed, int64_t bytes) {
    return write_shards(folder.path() / fmt::format("{}-{}.shard", seed, bytes), eval_files(), *stories_tokenizer(),
                        {.piece = 30, .total_bytes = bytes, .seed = seed});
  };
  const auto all = choose(1, 1 << 30), some = choose(1, 6000), again = choose(1, 6000), other = choose(2, 6000);
  EXPECT_EQ(all.left_out, 0);
  EXPECT_GT(some.left_out, 0);
  EXPECT_LE(some.bytes, 6000);
  EXPECT_GT(some.bytes, 3000);
  EXPECT_EQ(records_of(some.files), records_of(again.files));
  EXPECT_NE(records_of(some.files), records_of(other.files));
  const auto pool = records_of(all.files);
  for (const auto& record : records_of(some.files)) EXPECT_TRUE(pool.contains(record));
  EXPECT_EQ(some.sources["chosen"]["left_out"], some.left_out);
  EXPECT_THAT([&] { choose(1, 10); }, ThrowsMessage<InputError>(HasSubstr("--total-bytes")));
}

TEST(TokenShards, AnotherTokenizerIsRefused) {
  const TemporaryFolder folder;
  const auto written = write_shards(folder.path() / "a.shard", eval_files(), *stories_tokenizer(), {});
  const auto other = tokenizer_of("tokenizers/tiny-spm.json");
  EXPECT_THAT([&] { open_examples(written.files, other, {}); },
              ThrowsMessage<InputError>(AllOf(HasSubstr("a.shard"), HasSubstr("another tokenizer"))));
}

// Whatever byte is changed and wherever the file is cut, it is refused and never read as something else.
TEST(TokenShards, CutAndChangedFilesAreRefused) {
  const TemporaryFolder folder;
  const auto good = folder.file("a.txt", "Once upon a time there was a cat. It sat.");
  const auto written = write_shards(folder.path() / "a.shard", {good}, *stories_tokenizer(), {});
  const std::string bytes = test::read_bytes(written.files[0]);
  const auto refused = [&](const std::string& changed) {
    const auto path = folder.file("changed.shard", changed);
    EXPECT_THROW(open_shard(path, *stories_tokenizer()), InputError);
  };
  for (size_t at = 0; at < bytes.size(); ++at) {
    std::string changed = bytes;
    changed[at] = static_cast<char>(changed[at] ^ (1 << (at % 8)));
    refused(changed);
  }
  for (size_t size = 0; size < bytes.size(); size += 7) refused(bytes.substr(0, size));
  EXPECT_THAT([&] { open_shard(good, *stories_tokenizer()); }, testing::Throws<InputError>());
}

// Tables that lie in spite of a right checksum.
TEST(TokenShards, TablesAreChecked) {
  const auto check = [](at::Tensor tokens, at::Tensor parts, at::Tensor records) {
    EXPECT_THROW(TokenRecords(tokens, parts, records, 10, "[shard] x"), InputError);
  };
  const at::Tensor tokens = at::arange(8, at::kInt);
  const auto longs = [](std::vector<int64_t> values) { return at::tensor(values, at::kLong); };
  const at::Tensor parts = longs({0, 8}).view({1, 2});
  EXPECT_EQ(TokenRecords(tokens, parts, longs({0, 1}), 10, "").part(0, 0).size(), 8u);
  check(tokens, longs({0, 9}).view({1, 2}), longs({0, 1}));
  check(tokens, longs({-1, 2}).view({1, 2}), longs({0, 1}));
  check(tokens, longs({1, INT64_MAX}).view({1, 2}), longs({0, 1}));
  check(tokens, longs({0, 8}), longs({0, 1}));
  check(tokens, parts, longs({0, 2}));
  check(tokens, parts, longs({1, 1}));
  check(tokens, parts, longs({0, 5, 1}));
  check(tokens, longs({0, 1, 1, 1}).view({2, 2}), longs({0, 2}));
  check(tokens + 3, parts, longs({0, 1}));
  check(tokens - 1, parts, longs({0, 1}));
  check(tokens.to(at::kLong), parts, longs({0, 1}));
}

TEST(TokenShards, NamesAndKinds) {
  const TemporaryFolder folder;
  EXPECT_THAT([&] { write_shards(folder.path() / "a.bin", eval_files(), *stories_tokenizer(), {}); },
              ThrowsMessage<UsageError>(HasSubstr(".shard")));
  const auto other = std::filesystem::path(STENO_SOURCE_DIR) / "tests/data/stories260K/model.safetensors";
  EXPECT_THAT([&] { open_shard(other, *stories_tokenizer()); }, testing::Throws<InputError>());
}

}  // namespace
}  // namespace steno
