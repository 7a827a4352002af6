#include "cli/compression.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <mutex>
#include <set>
#include <thread>

#include "base/error.h"
#include "io/gguf.h"
#include "memory/memory_test_util.h"

namespace steno {
namespace {

std::shared_ptr<const Tokenizer> load_tokenizer(const std::string& name) {
  const auto path = std::filesystem::path(STENO_SOURCE_DIR) / "tests/data" / name;
  return path.extension() == ".gguf" ? Tokenizer::from_gguf(*GgufFile::open(path)) : Tokenizer::from_json(path);
}

// Slots made of the ids alone; remembers who asked.
class MadeUpCompressor : public Compressor {
 public:
  int64_t span_tokens() const override { return 8; }
  int64_t slots_per_span() const override { return 2; }
  int64_t window() const override { return 100; }
  Identity identity() const override { return {{"adapter", "made up"}}; }
  std::optional<TokenId> opening_token() const override { return opening; }
  std::vector<SpanSlots> compress(std::span<const std::vector<TokenId>> spans) const override {
    std::vector<SpanSlots> slots;
    for (const auto& span : spans) {
      {
        const std::lock_guard lock(mutex);
        ++calls;
        threads.insert(std::this_thread::get_id());
        intra_op = at::get_num_threads();
        if (calls == fail_at) throw InputError("[made up] enough");
      }
      slots.push_back(test::made_up_slots(span, 2, 6));
    }
    return slots;
  }
  std::unique_ptr<MemoryReader> open_reader() const override { return nullptr; }

  std::optional<TokenId> opening;
  int64_t fail_at = -1;
  mutable std::mutex mutex;
  mutable int64_t calls = 0;
  mutable int intra_op = 0;
  mutable std::set<std::thread::id> threads;
};

const std::string kText =
    "Once upon a time, in a caf\u00e9 by the sea - \u4e2d\u6587! - there was  a   little girl.\n\nShe sang.";

class CompressionTest : public ::testing::TestWithParam<const char*> {
 protected:
  std::shared_ptr<const Tokenizer> tokenizer_ = load_tokenizer(GetParam());
  MadeUpCompressor compressor_;

  std::vector<PlannedSpan> plan(SpanCut cut = SpanCut::fixed) const {
    return plan_spans("test", {"one.txt", kText}, *tokenizer_, compressor_, cut, true);
  }
};

TEST_P(CompressionTest, SpansCoverTheTextExactly) {
  for (const SpanCut cut : {SpanCut::fixed, SpanCut::balanced}) {
    for (const std::optional<TokenId> opening : {std::optional<TokenId>(), std::optional<TokenId>(1)}) {
      compressor_.opening = opening;
      const auto ids = tokenizer_->encode(kText, {.add_special = false, .parse_special = false});
      std::string text;
      std::vector<TokenId> tokens;
      int64_t byte = 0, token = 0;
      for (const PlannedSpan& planned : plan(cut)) {
        const SpanInfo& info = planned.span.info;
        EXPECT_EQ(info.byte_begin, byte);
        EXPECT_EQ(info.token_begin, token);
        EXPECT_EQ(info.opens_document, token == 0);
        EXPECT_LE(info.tokens(), 8);
        EXPECT_EQ(planned.byte_ends.size(), planned.span.tokens.size());
        byte = info.byte_end, token = info.token_end;
        text += planned.span.text;
        tokens.insert(tokens.end(), planned.span.tokens.begin(), planned.span.tokens.end());
      }
      EXPECT_EQ(text, kText);
      EXPECT_EQ(byte, static_cast<int64_t>(kText.size()));
      std::vector<TokenId> expected = ids;
      if (opening) expected.insert(expected.begin(), *opening);
      EXPECT_EQ(tokens, expected);
    }
  }
}

TEST_P(CompressionTest, EndsOfTokensAreThoseOfTheirPieces) {
  const auto ids = tokenizer_->encode(kText, {.add_special = false, .parse_special = false});
  const auto ends = token_ends("test", *tokenizer_, ids, kText);
  ASSERT_EQ(ends.size(), ids.size());
  // Each token's bytes in the middle of a text are its piece; the first one may have lost the space in front of it.
  for (size_t i = 1; i < ids.size(); ++i)
    EXPECT_EQ(kText.substr(static_cast<size_t>(ends[i - 1]), static_cast<size_t>(ends[i] - ends[i - 1])),
              tokenizer_->piece(ids[i]));
  EXPECT_TRUE(tokenizer_->piece(ids[0]).ends_with(kText.substr(0, static_cast<size_t>(ends[0]))));
  EXPECT_THROW(token_ends("test", *tokenizer_, ids, kText + "."), InputError);
  std::string other = kText;
  other[5] = 'X';
  EXPECT_THROW(token_ends("test", *tokenizer_, ids, other), InputError);
}

TEST_P(CompressionTest, PiecesOfASpanJoinToIt) {
  compressor_.opening = 1;
  for (const PlannedSpan& planned : plan()) {
    const int64_t count = planned.span.info.tokens();
    for (int64_t cut = 1; cut < count; ++cut) {
      const NewSpan left = piece_of(planned, 0, cut), right = piece_of(planned, cut, count);
      EXPECT_EQ(left.text + right.text, planned.span.text);
      EXPECT_EQ(left.info.byte_end, right.info.byte_begin);
      EXPECT_EQ(left.info.token_end, right.info.token_begin);
      EXPECT_EQ(right.info.token_end, planned.span.info.token_end);
      EXPECT_EQ(left.info.opens_document, planned.span.info.opens_document);
      EXPECT_FALSE(right.info.opens_document);
      EXPECT_EQ(static_cast<int64_t>(left.tokens.size()), left.info.tokens());
      EXPECT_EQ(static_cast<int64_t>(right.text.size()), right.info.byte_end - right.info.byte_begin);
    }
  }
}

TEST_P(CompressionTest, KnowsWhatAMemoryHoldsAlready) {
  const test::TemporaryFolder folder;
  const auto spans = plan();
  MemoryWriter writer(test::made_up_header());
  CompressionCounts counts;
  compress_into(writer, compressor_, *tokenizer_, spans, {}, counts, [](int64_t) {});
  writer.write(folder.path() / "m");
  const auto file = MemoryFile::open(folder.path() / "m");
  const std::string& name = file->spans().front().source;
  const auto count = static_cast<int64_t>(spans.size());
  EXPECT_EQ(repeated_spans({name, kText}, file->spans()), count);
  EXPECT_EQ(repeated_spans({name, kText + " And more."}, file->spans()), count);
  EXPECT_EQ(repeated_spans({name + "x", kText}, file->spans()), 0);
  std::string other = kText;
  other[0] = 'o';
  EXPECT_EQ(repeated_spans({name, other}, file->spans()), count - 1);
  EXPECT_EQ(repeated_spans({name, kText.substr(0, kText.size() - 1)}, file->spans()), count - 1);
  EXPECT_EQ(repeated_spans({name, kText}, {}), 0);
}

TEST_P(CompressionTest, JobsDoNotChangeTheResult) {
  const auto spans = plan();
  ASSERT_GT(spans.size(), 3u);
  const int before = at::get_num_threads();
  const auto one = compress_spans(compressor_, spans, 1, {});
  int64_t tokens = 0;
  const auto four = compress_spans(compressor_, spans, 4, [&](int64_t count) { tokens += count; });
  EXPECT_EQ(compressor_.calls, static_cast<int64_t>(2 * spans.size()));
  EXPECT_EQ(at::get_num_threads(), before);
  ASSERT_EQ(one.size(), four.size());
  int64_t all = 0;
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_TRUE(one[i].tensors[0].second.equal(four[i].tensors[0].second));
    EXPECT_EQ(four[i].source_tokens, spans[i].span.info.tokens());
    all += spans[i].span.info.tokens();
  }
  EXPECT_EQ(tokens, all);
}

TEST_P(CompressionTest, WhatAThreadThrowsComesOut) {
  for (const int64_t jobs : {1, 3}) {
    compressor_.calls = 0;
    compressor_.fail_at = 2;
    EXPECT_THROW(compress_spans(compressor_, plan(), jobs, {}), InputError);
  }
}

TEST_P(CompressionTest, WritesAMemoryThatHoldsTheSpans) {
  const test::TemporaryFolder folder;
  const auto spans = plan();
  MemoryWriter writer(test::made_up_header());
  CompressionOptions options;
  options.slot_type = SlotType::f32;
  options.jobs = 2;
  CompressionCounts counts;
  int64_t last = 0;
  compress_into(writer, compressor_, *tokenizer_, spans, options, counts, [&](int64_t done) { last = done; });
  EXPECT_EQ(counts.spans, static_cast<int64_t>(spans.size()));
  EXPECT_EQ(counts.calls, counts.spans);
  EXPECT_EQ(last, spans.back().span.info.token_end);
  EXPECT_EQ(counts.tokens, last);
  writer.write(folder.path() / "m");
  const auto file = MemoryFile::open(folder.path() / "m");
  ASSERT_EQ(file->spans().size(), spans.size());
  for (size_t i = 0; i < spans.size(); ++i) {
    EXPECT_EQ(file->text(i), spans[i].span.text);
    EXPECT_EQ(file->tokens(i), spans[i].span.tokens);
    const at::Tensor expected = test::made_up_slots(spans[i].span.tokens, 2, 6).tensors[0].second;
    EXPECT_TRUE(file->slots(i).tensors[0].second.equal(expected));
  }
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, CompressionTest,
                         ::testing::Values("stories260K/tokenizer.json", "tokenizers/ggml-vocab-gpt-2.gguf",
                                           "tokenizers/ggml-vocab-phi-3.gguf"));

}  // namespace
}  // namespace steno
