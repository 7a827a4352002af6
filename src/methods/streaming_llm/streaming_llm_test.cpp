// Limit cases of cache_policies, sections 3 and 13.
#include "methods/streaming_llm/streaming_llm.h"

#include <gtest/gtest.h>

#include <numeric>

#include "base/files_test_util.h"
#include "methods/method_test_util.h"

namespace steno {
namespace {

using test::feed_all;
using test::masked_forward;
using test::PackedReference;
using test::relative_difference;

StreamOptions streaming(int64_t sinks, int64_t recent, const std::string& positions, const std::string& order,
                        int64_t chunk) {
  return {.budget = sinks + recent,
          .chunk_size = chunk,
          .params = {{"sinks", std::to_string(sinks)}, {"positions", positions}, {"order", order}}};
}

std::unique_ptr<Stream> open(const std::shared_ptr<const Decoder>& decoder, const StreamOptions& options) {
  return streaming_llm_method()->open_stream(decoder, options);
}

std::vector<int64_t> start_and_end(int64_t sinks, int64_t recent, int64_t tokens) {
  std::vector<int64_t> kept;
  for (int64_t position = 0; position < tokens; ++position)
    if (position < sinks || position >= tokens - recent) kept.push_back(position);
  return kept;
}

class StreamingModels : public testing::TestWithParam<const char*> {
 protected:
  std::shared_ptr<const Decoder> decoder_ = test::tiny_decoder(GetParam());
};
// Dynamic scaling is no function of the position alone: with gaps, keys of a long text keep the angles of their time.
class StreamingGaps : public StreamingModels {};
class StreamingPacked : public StreamingModels {};

TEST_P(StreamingGaps, WithGapsEqualsTheMaskedForwardOfItsOrder) {
  const auto ids = test::random_ids(*decoder_, 50, 1);
  for (const auto& [s, w] : {std::pair{2, 5}, {1, 1}, {4, 12}}) {
    const at::Tensor evict_first =
        masked_forward(*decoder_, ids, [s = s, w = w](int64_t i, int64_t j) { return j < s || i - j < w; });
    const at::Tensor attend_first =
        masked_forward(*decoder_, ids, [s = s, w = w](int64_t i, int64_t j) { return j < s || i - j <= w; });
    const int64_t own = decoder_->config().kinds.back().window;
    for (const int64_t chunk : {1, 3, 7, 16, 64}) {
      const auto by = [&, s = s, w = w](const char* order) {
        return feed_all(*open(decoder_, streaming(s, w, "gaps", order, chunk)), ids);
      };
      EXPECT_LE(relative_difference(by("evict-first"), evict_first), 1e-5) << s << "+" << w << " chunk " << chunk;
      EXPECT_LE(relative_difference(by("attend-first"), attend_first), 1e-5) << s << "+" << w << " chunk " << chunk;
      if (own > 0 && w >= own) continue;  // then both orders read the model's own window
      EXPECT_GT(relative_difference(by("evict-first"), attend_first), 1e-3) << s << "+" << w << " chunk " << chunk;
      EXPECT_GT(relative_difference(by("attend-first"), evict_first), 1e-3) << s << "+" << w << " chunk " << chunk;
    }
  }
}

TEST_P(StreamingPacked, PackedEqualsUnrotatedKeysRotatedToTheirRanks) {
  const auto ids = test::random_ids(*decoder_, 300, 2);  // many budgets long, and beyond the trained positions
  for (const bool evict_first : {false, true}) {
    for (const auto& [s, w] : {std::pair{4, 12}, {1, 3}, {2, 20}}) {
      PackedReference reference(*decoder_, s, s + w, evict_first);
      const at::Tensor expected = reference.read(ids);
      for (const int64_t chunk : {1, 5, 16}) {
        const auto stream =
            open(decoder_, streaming(s, w, "packed", evict_first ? "evict-first" : "attend-first", chunk));
        EXPECT_LE(relative_difference(feed_all(*stream, ids), expected), 1e-4)
            << s << "+" << w << " chunk " << chunk << (evict_first ? " evict-first" : " attend-first");
        EXPECT_EQ(stream->kept_positions(0, 0), reference.kept);
      }
    }
  }
}

// Turns of random lengths with a reserve() before each: what is kept, and in both position modes the step-by-step
// reference and the masked forward that hides what was dropped ahead.
struct Turns {
  std::vector<int64_t> reserved, lengths;  // of each turn
  std::vector<TokenId> ids;
};

Turns some_turns(const Decoder& decoder, uint64_t seed) {
  Turns turns;
  Random random(seed);
  int64_t total = 0;
  for (int turn = 0; turn < 12; ++turn) {
    const auto length = static_cast<int64_t>(1 + random.below(turn % 4 == 3 ? 30 : 7));
    turns.lengths.push_back(length);
    // Sometimes less than is read, sometimes more.
    turns.reserved.push_back(std::max<int64_t>(0, length + static_cast<int64_t>(random.below(6)) - 2));
    total += length;
  }
  turns.ids = test::random_ids(decoder, total, seed + 1);
  return turns;
}

template <class Reserve, class Read>
void play(const Turns& turns, const Reserve& reserve, const Read& read) {
  size_t at = 0;
  for (size_t turn = 0; turn < turns.lengths.size(); ++turn) {
    const auto length = static_cast<size_t>(turns.lengths[turn]);
    reserve(turns.reserved[turn]);
    read(std::span(turns.ids).subspan(at, length));
    at += length;
  }
}

TEST_P(StreamingPacked, ReservedTurnsEqualTheReference) {
  const auto turns = some_turns(*decoder_, 20);
  for (const bool evict_first : {false, true}) {
    for (const auto& [s, w] : {std::pair{4, 12}, {1, 3}, {2, 20}}) {
      PackedReference reference(*decoder_, s, s + w, evict_first);
      std::vector<at::Tensor> expected;
      play(
          turns, [&](int64_t n) { reference.reserve(n); }, [&](auto ids) { expected.push_back(reference.read(ids)); });
      for (const int64_t chunk : {1, 5, 16}) {
        const auto stream =
            open(decoder_, streaming(s, w, "packed", evict_first ? "evict-first" : "attend-first", chunk));
        std::vector<at::Tensor> got;
        play(
            turns, [&](int64_t n) { stream->reserve(n); },
            [&](auto ids) { got.push_back(stream->feed(ids, LogitRows::all).logits); });
        EXPECT_LE(relative_difference(at::cat(got, 0), at::cat(expected, 0)), 1e-4)
            << s << "+" << w << " chunk " << chunk << (evict_first ? " evict-first" : " attend-first");
        EXPECT_EQ(stream->kept_positions(0, 0), reference.kept);
      }
    }
  }
}

TEST_P(StreamingGaps, ReservedTurnsEqualTheMaskedForward) {
  const auto turns = some_turns(*decoder_, 21);
  for (const auto& [s, w] : {std::pair{2, 5}, {1, 1}, {4, 12}}) {
    // cut_of[i]: everything from the start to there was dropped before the turn of token i.
    std::vector<int64_t> cut_of;
    int64_t cut = 0, first = 0;
    for (size_t turn = 0; turn < turns.lengths.size(); ++turn) {
      const int64_t held = std::min<int64_t>(first, w + s) == first ? first : s + w;
      const int64_t recent = std::min(first - std::max<int64_t>(cut, s), held - s);
      if (recent > 0 && recent + s + turns.reserved[turn] > s + w)
        cut = first - std::max<int64_t>(w - turns.reserved[turn], 0);
      for (int64_t i = 0; i < turns.lengths[turn]; ++i) cut_of.push_back(cut);
      first += turns.lengths[turn];
    }
    for (const bool evict_first : {false, true}) {
      const int64_t older = evict_first ? w - 1 : w;
      const at::Tensor expected = masked_forward(*decoder_, turns.ids, [&, s = s](int64_t i, int64_t j) {
        return j < s || (i - j <= older && j >= cut_of[static_cast<size_t>(i)]);
      });
      for (const int64_t chunk : {1, 4, 64}) {
        const auto stream =
            open(decoder_, streaming(s, w, "gaps", evict_first ? "evict-first" : "attend-first", chunk));
        std::vector<at::Tensor> got;
        play(
            turns, [&](int64_t n) { stream->reserve(n); },
            [&](auto ids) { got.push_back(stream->feed(ids, LogitRows::all).logits); });
        EXPECT_LE(relative_difference(at::cat(got, 0), expected), 1e-5)
            << s << "+" << w << " chunk " << chunk << (evict_first ? " evict-first" : " attend-first");
      }
    }
  }
}

std::string model_name(const testing::TestParamInfo<const char*>& info) { return info.param; }
INSTANTIATE_TEST_SUITE_P(StreamingLlm, StreamingGaps,
                         testing::Values("llama_tied", "llama_rope_llama3", "llama_rope_yarn", "qwen3", "gemma3",
                                         "mistral_window"),
                         model_name);
INSTANTIATE_TEST_SUITE_P(StreamingLlm, StreamingPacked,
                         testing::Values("llama_tied", "llama_rope_llama3", "llama_rope_yarn", "llama_rope_dynamic",
                                         "qwen3", "gemma3", "mistral_window", "phi3"),
                         model_name);

// The test above means something: packed and gaps differ once the memory is full, and are one before.
TEST(StreamingLlm, PackedAndGapsPartWhenTheMemoryIsFull) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = test::random_ids(*decoder, 40, 3);
  const at::Tensor packed = feed_all(*open(decoder, streaming(2, 6, "packed", "attend-first", 1)), ids);
  const at::Tensor gaps = feed_all(*open(decoder, streaming(2, 6, "gaps", "attend-first", 1)), ids);
  // Slots 0..7 and the query of rank 8 at position 8: ranks are positions still.
  EXPECT_LE(relative_difference(packed.narrow(0, 0, 9), gaps.narrow(0, 0, 9)), 1e-6);
  for (int64_t i = 9; i < 40; ++i) EXPECT_GT(relative_difference(packed[i], gaps[i]), 1e-3) << i;
}

// Retained originals [0, 1, 2, 3, 6, 7, 8] and a new token: ranks 0 .. 7.
TEST(StreamingLlm, TheExampleOfThePaper) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = test::random_ids(*decoder, 10, 4);
  const auto stream = open(decoder, streaming(4, 3, "packed", "attend-first", 4));
  feed_all(*stream, std::span(ids).first(9));
  EXPECT_EQ(stream->kept_positions(0, 0), (std::vector<int64_t>{0, 1, 2, 3, 6, 7, 8}));
  PackedReference reference(*decoder, 4, 7, false);
  reference.read(std::span(ids).first(9));
  EXPECT_EQ(reference.kept, (std::vector<int64_t>{0, 1, 2, 3, 6, 7, 8}));
  const at::Tensor expected = reference.step(ids[9]);
  EXPECT_EQ(reference.query_ranks.back(), 7);
  EXPECT_LE(relative_difference(stream->feed(std::span(ids).last(1), LogitRows::last).logits[0], expected), 1e-4);

  // The ranks spelled out for one layer: keys of the first layer depend on nothing but their tokens.
  const c10::InferenceMode inference;
  const std::vector<int64_t> originals = {0, 1, 2, 3, 6, 7, 8, 9};
  at::Tensor scores[2];
  for (const bool stored : {false, true}) {
    std::vector<at::Tensor> keys;
    for (size_t rank = 0; rank < originals.size(); ++rank) {
      const auto id = std::span(ids).subspan(static_cast<size_t>(originals[rank]), 1);
      const at::Tensor k =
          decoder->project(0, decoder->attention_input(0, decoder->embed(test::ids_tensor(id))), nullptr).k;
      // Keys as they are stored stand at their originals; the distance to the start is what packing changes.
      keys.push_back(
          decoder->rotate(0, k, at::full({1, 1}, stored ? originals[rank] : static_cast<int64_t>(rank), at::kLong)));
    }
    const at::Tensor q =
        decoder
            ->project(0, decoder->attention_input(0, decoder->embed(test::ids_tensor(std::span(ids).last(1)))), nullptr)
            .q;
    const int64_t group = q.size(1) / keys[0].size(1);
    const auto read = [&](int64_t position, const at::Tensor& k) {
      return at::matmul(decoder->rotate(0, q, at::full({1, 1}, position, at::kLong)),
                        k.repeat_interleave(group, 1).transpose(2, 3));
    };
    const at::Tensor all = at::cat(keys, 2);
    scores[stored] = stored ? at::cat({read(7, all.narrow(2, 0, 4)), read(9, all.narrow(2, 4, 4))}, -1) : read(7, all);
  }
  EXPECT_LE(relative_difference(scores[1], scores[0]), 1e-5);
}

TEST(StreamingLlm, TheQueryRankIsTheLengthOfTheCache) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = test::random_ids(*decoder, 40, 5);
  for (const bool evict_first : {false, true}) {
    PackedReference reference(*decoder, 2, 8, evict_first);
    const auto stream = open(decoder, streaming(2, 6, "packed", evict_first ? "evict-first" : "attend-first", 1));
    for (size_t i = 0; i < ids.size(); ++i) {
      const auto before = static_cast<int64_t>(stream->kept_positions(0, 0).size());
      const at::Tensor expected = reference.step(ids[i]);
      EXPECT_EQ(reference.query_ranks.back(), evict_first ? std::min<int64_t>(before, 7) : before);
      EXPECT_LE(relative_difference(stream->feed(std::span(ids).subspan(i, 1), LogitRows::last).logits[0], expected),
                1e-4)
          << i;
    }
  }
}

TEST(StreamingLlm, TheFirstSlotsNeverLeave) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = test::random_ids(*decoder, 200, 6);
  for (const char* positions : {"packed", "gaps"}) {
    for (const char* order : {"attend-first", "evict-first"}) {
      const auto stream = open(decoder, streaming(3, 5, positions, order, 16));
      Random random(7);
      for (size_t fed = 0; fed < ids.size();) {
        const size_t count = std::min<size_t>(1 + random.below(40), ids.size() - fed);
        stream->feed(std::span(ids).subspan(fed, count), LogitRows::none);
        fed += count;
        EXPECT_EQ(stream->kept_positions(1, 1), start_and_end(3, 5, static_cast<int64_t>(fed)))
            << positions << " " << order;
      }
    }
  }
}

TEST(StreamingLlm, WithoutSinksItIsTheWindow) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = test::random_ids(*decoder, 60, 8);
  for (const char* order : {"attend-first", "evict-first"}) {
    const auto window =
        method_named("window").open_stream(decoder, {.budget = 7, .chunk_size = 5, .params = {{"order", order}}});
    const at::Tensor expected = feed_all(*window, ids);
    for (const char* positions : {"packed", "gaps"}) {
      const auto stream = open(decoder, streaming(0, 7, positions, order, 5));
      EXPECT_TRUE(test::same_bits(feed_all(*stream, ids), expected)) << order << " " << positions;
      EXPECT_EQ(stream->kept_positions(0, 0), window->kept_positions(0, 0));
    }
  }
}

TEST(StreamingLlm, TheSmallestBudgetIsOneMoreThanTheSinks) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = test::random_ids(*decoder, 60, 9);
  for (const bool evict_first : {false, true}) {
    const std::string order = evict_first ? "evict-first" : "attend-first";
    EXPECT_THROW(open(decoder, streaming(4, 0, "packed", order, 5)), UsageError);
    EXPECT_THROW(open(decoder, streaming(4, -2, "gaps", order, 5)), UsageError);
    PackedReference reference(*decoder, 4, 5, evict_first);
    const auto stream = open(decoder, streaming(4, 1, "packed", order, 5));
    EXPECT_LE(relative_difference(feed_all(*stream, ids), reference.read(ids)), 1e-4) << order;
    EXPECT_EQ(stream->kept_positions(0, 0), (std::vector<int64_t>{0, 1, 2, 3, 59}));
  }
  EXPECT_THROW(open(decoder, streaming(-1, 8, "packed", "attend-first", 5)), UsageError);
  EXPECT_THROW(open(decoder, streaming(2, 8, "dense", "attend-first", 5)), UsageError);
  EXPECT_THROW(open(decoder, streaming(2, 8, "packed", "later", 5)), UsageError);
}

// The token counter survives save and load, in both position modes: a fresh counter would rotate what follows wrongly.
TEST(StreamingLlm, TheTokenCounterIsSaved) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = test::random_ids(*decoder, 60, 10);
  const at::Tensor gaps = masked_forward(*decoder, ids, [](int64_t i, int64_t j) { return j < 2 || i - j <= 6; });
  const at::Tensor packed = PackedReference(*decoder, 2, 8, false).read(ids);
  for (const char* positions : {"packed", "gaps"}) {
    const auto options = streaming(2, 6, positions, "attend-first", 5);
    const std::string path = test::program_file("counter.safetensors");
    const auto first = open(decoder, options);
    feed_all(*first, std::span(ids).first(43));
    first->save(path);
    const auto second = open(decoder, options);
    second->load(path);
    EXPECT_EQ(second->tokens_seen(), 43);
    const at::Tensor rest = feed_all(*second, std::span(ids).subspan(43));
    const at::Tensor& expected = positions[0] == 'p' ? packed : gaps;
    EXPECT_LE(relative_difference(rest, expected.narrow(0, 43, 17)), 1e-4) << positions;
  }
}

// Ranks stay small, so what is far beyond the trained positions reads like any other text: a stream that has passed
// 20,000 tokens and then reads a text equals one that read that text right after its sinks.
TEST(StreamingLlm, LongStreamsReadAsShortOnesDo) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = test::random_ids(*decoder, 20000, 11);
  const int64_t s = 4, w = 12;
  const auto stream = open(decoder, streaming(s, w, "packed", "attend-first", 256));
  stream->feed(ids, LogitRows::none);
  EXPECT_EQ(stream->accounting().slots, s + w);
  EXPECT_EQ(stream->accounting().dropped_ranges, (std::vector<std::pair<int64_t, int64_t>>{{4, 20000 - 13}}));
  EXPECT_LE(stream->accounting().peak_slots, s + w + 256);
  // The last token depends on w tokens per layer and on the sinks.
  const int64_t reach = decoder->config().layers * w + 1;
  std::vector<TokenId> close(ids.begin(), ids.begin() + s);
  const auto more = test::random_ids(*decoder, reach + 40, 12);
  const at::Tensor far = stream->feed(more, LogitRows::last).logits;
  close.insert(close.end(), more.begin(), more.end());
  const auto short_stream = open(decoder, streaming(s, w, "packed", "attend-first", 256));
  EXPECT_LE(relative_difference(far, short_stream->feed(close, LogitRows::last).logits), 1e-4);
}

// Test 7 of cache_policies, section 13.
TEST(StreamingLlm, NothingIsDroppedDuringAReservedTurn) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = test::random_ids(*decoder, 200, 22);
  const int64_t s = 3, w = 10;
  for (const char* order : {"attend-first", "evict-first"}) {
    for (int64_t n = 1; n <= w; ++n) {
      const auto stream = open(decoder, streaming(s, w, "packed", order, 4));
      stream->feed(std::span(ids).first(60), LogitRows::none);
      stream->reserve(n);
      std::vector<int64_t> expected = start_and_end(s, w - n, 60);
      EXPECT_EQ(stream->kept_positions(0, 0), expected) << order << " " << n;
      for (int64_t i = 0; i < n; ++i) {
        stream->feed(std::span(ids).subspan(static_cast<size_t>(60 + i), 1), LogitRows::none);
        expected.push_back(60 + i);
        EXPECT_EQ(stream->kept_positions(0, 0), expected) << order << " " << n << " token " << i;
      }
      EXPECT_EQ(stream->accounting().slots, s + w);
      // One more than was reserved drops one, as always.
      stream->feed(std::span(ids).subspan(static_cast<size_t>(60 + n), 1), LogitRows::none);
      EXPECT_EQ(stream->kept_positions(0, 0), start_and_end(s, w, 61 + n)) << order << " " << n;
    }
  }
}

TEST(StreamingLlm, ReserveAtItsLimits) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = test::random_ids(*decoder, 400, 23);
  const int64_t s = 3, w = 10;
  const auto filled = [&](int64_t tokens) {
    auto stream = open(decoder, streaming(s, w, "packed", "attend-first", 4));
    stream->feed(std::span(ids).first(static_cast<size_t>(tokens)), LogitRows::none);
    return stream;
  };
  // The window or more: no recent slot survives.
  for (const int64_t n : {w, w + 1, s + w + 1, int64_t{1} << 40}) {
    const auto stream = filled(60);
    stream->reserve(n);
    EXPECT_EQ(stream->kept_positions(0, 0), (std::vector<int64_t>{0, 1, 2})) << n;
    EXPECT_EQ(stream->accounting().slots_by_role, (std::map<std::string, int64_t>{{"start", 3}}));
    EXPECT_EQ(stream->accounting().dropped_tokens, 57);
  }
  // Nothing to make room for, and room enough.
  for (const int64_t n : {0, 1, 4}) {
    const auto stream = filled(n == 0 ? 60 : 9);
    const auto before = stream->kept_positions(0, 0);
    stream->reserve(n);
    EXPECT_EQ(stream->kept_positions(0, 0), before) << n;
  }
  // Before the first token, and while the start is still being filled: start slots never leave.
  for (const int64_t tokens : {0, 1, 3}) {
    const auto stream = filled(tokens);
    stream->reserve(100);
    EXPECT_EQ(static_cast<int64_t>(stream->kept_positions(0, 0).size()), tokens);
    stream->feed(std::span(ids).subspan(static_cast<size_t>(tokens), 40), LogitRows::none);
    EXPECT_EQ(stream->kept_positions(0, 0), start_and_end(s, w, tokens + 40));
  }
  // A prompt beyond the whole memory is read in chunks with evictions between, and counted.
  const auto stream = filled(60);
  stream->reserve(100);
  stream->feed(std::span(ids).subspan(60, 100), LogitRows::none);
  const Accounting accounting = stream->accounting();
  EXPECT_EQ(stream->kept_positions(0, 0), start_and_end(s, w, 160));
  EXPECT_EQ(accounting.dropped_ranges, (std::vector<std::pair<int64_t, int64_t>>{{3, 149}}));
  EXPECT_EQ(accounting.slots_by_role, (std::map<std::string, int64_t>{{"recent", 10}, {"start", 3}}));
  EXPECT_LE(accounting.peak_slots, s + w + 4);
  EXPECT_NE(accounting.reading.find("chunks of 4"), std::string::npos) << accounting.reading;
}

TEST(StreamingLlm, AReservedStreamIsSavedAndForked) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = test::random_ids(*decoder, 120, 24);
  for (const char* positions : {"packed", "gaps"}) {
    const auto options = streaming(2, 12, positions, "attend-first", 5);
    const std::string path = test::program_file("reserved.safetensors");
    const auto first = open(decoder, options);
    first->feed(std::span(ids).first(80), LogitRows::none);
    first->reserve(9);
    first->save(path);
    const auto second = open(decoder, options);
    second->load(path);
    const auto third = first->fork();
    const auto rest = std::span(ids).subspan(80);
    const at::Tensor expected = feed_all(*first, rest);
    EXPECT_TRUE(test::same_bits(feed_all(*second, rest), expected)) << positions;
    EXPECT_TRUE(test::same_bits(feed_all(*third, rest), expected)) << positions;
  }
}

}  // namespace
}  // namespace steno
