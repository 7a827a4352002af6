// Limit cases of cache_policies, section 9 (R5).
#include "methods/retrieval/retrieval.h"

#include <gtest/gtest.h>

#include <set>

#include "base/files_test_util.h"
#include "methods/method_test_util.h"
#include "methods/retrieval/bm25.h"

namespace steno {
namespace {

using test::feed_all;
using test::relative_difference;

struct Sizes {
  int64_t budget, start, passage, recent, block;
};
constexpr Sizes kSizes{40, 3, 6, 4, 8};

StreamOptions retrieval(const Sizes& s = kSizes, int64_t chunk = 16) {
  return {.budget = s.budget,
          .chunk_size = chunk,
          .params = {{"start", std::to_string(s.start)},
                     {"passage", std::to_string(s.passage)},
                     {"recent", std::to_string(s.recent)},
                     {"block", std::to_string(s.block)}}};
}

// What is read before position `begin` for a question, from the definition in memory/reread_window.h.
std::set<int64_t> context_of(const std::vector<TokenId>& ids, int64_t begin, int64_t question, int64_t question_end,
                             const Sizes& s) {
  const auto room = static_cast<size_t>(s.budget - s.block);
  std::set<int64_t> context;
  for (int64_t j = 0; j < s.start; ++j) context.insert(j);
  int64_t tail = begin;
  while (tail > s.start && tail > question - s.recent && context.size() < room) context.insert(--tail);
  Bm25 index(s.passage, 1.2);
  index.append(std::span(ids).first(static_cast<size_t>(begin)));
  for (const auto& [first, end] : index.find(
           std::span(ids).subspan(static_cast<size_t>(question), static_cast<size_t>(question_end - question)), tail)) {
    std::set<int64_t> with = context;
    for (int64_t j = first; j < end; ++j) with.insert(j);
    if (with.size() <= room) context = with;
  }
  for (int64_t j = begin - 1; j >= 0 && context.size() < room; --j) context.insert(j);
  return context;
}

std::vector<int64_t> with_text(std::set<int64_t> context, int64_t begin, int64_t seen) {
  for (int64_t j = begin; j < seen; ++j) context.insert(j);
  return {context.begin(), context.end()};
}

at::Tensor forward_over(const Decoder& decoder, const std::vector<TokenId>& ids, const std::vector<int64_t>& read) {
  std::vector<TokenId> window;
  for (const int64_t j : read) window.push_back(ids[static_cast<size_t>(j)]);
  return test::masked_forward(decoder, window, [](int64_t, int64_t) { return true; });
}

// Few different tokens, so that passages share some with every question.
std::vector<TokenId> wordy(int64_t count, uint64_t seed) {
  Random random(seed);
  std::vector<TokenId> ids(static_cast<size_t>(count));
  for (TokenId& id : ids) id = static_cast<TokenId>(random.uniform() * random.uniform() * 60);
  return ids;
}

class RetrievalModels : public testing::TestWithParam<const char*> {
 protected:
  std::shared_ptr<const Decoder> decoder_ = test::tiny_decoder(GetParam());
};

TEST_P(RetrievalModels, TextIsReadInBlocksWithThePassagesForWhatStandsBefore) {
  const auto ids = wordy(150, 1);
  for (const Sizes& s : {kSizes, Sizes{30, 0, 5, 1, 10}, Sizes{25, 4, 20, 3, 7}}) {
    std::vector<at::Tensor> expected;
    expected.push_back(forward_over(*decoder_, ids, with_text({}, 0, s.budget)));
    for (int64_t begin = s.budget; begin < 150; begin += s.block) {
      const int64_t end = std::min<int64_t>(begin + s.block, 150);
      const auto read = with_text(context_of(ids, begin, begin - s.block, begin, s), begin, end);
      expected.push_back(
          forward_over(*decoder_, ids, read).slice(0, static_cast<int64_t>(read.size()) - (end - begin)));
    }
    for (const int64_t chunk : {1, 16, 200}) {
      const auto stream = retrieval_method()->open_stream(decoder_, retrieval(s, chunk));
      EXPECT_LE(relative_difference(feed_all(*stream, ids), at::cat(expected)), 1e-5) << s.budget << " " << chunk;
    }
  }
}

TEST_P(RetrievalModels, AnswersReadThePassagesForTheQuestion) {
  auto ids = wordy(200, 2);
  const auto stream = retrieval_method()->open_stream(decoder_, retrieval());
  stream->feed(ids, LogitRows::none);
  const auto question = wordy(7, 3);
  ids.insert(ids.end(), question.begin(), question.end());
  at::Tensor logits = stream->feed(question, LogitRows::last).logits[0];
  int64_t begin = 207;
  // Two blocks of an answer: after the first the window is full, and the next one is for the same question.
  for (const TokenId token : wordy(2 * kSizes.block + 1, 4)) {
    const auto seen = static_cast<int64_t>(ids.size());
    const auto read = with_text(context_of(ids, begin, 200, 207, kSizes), begin, seen);
    EXPECT_EQ(stream->kept_positions(0, 0), read);
    EXPECT_LE(relative_difference(logits, forward_over(*decoder_, ids, read)[-1]), 1e-5) << seen;
    EXPECT_LE(stream->accounting().slots, kSizes.budget);
    if (seen == begin + kSizes.block) begin = seen;
    logits = stream->feed(std::span(&token, 1), LogitRows::last).logits[0];
    ids.push_back(token);
  }
}

INSTANTIATE_TEST_SUITE_P(Retrieval, RetrievalModels, testing::Values("llama_tied", "qwen3", "gemma3"),
                         [](const auto& info) { return std::string(info.param); });

// No token has any influence on what is read before it: texts that agree up to a place have the same logits there.
TEST(Retrieval, TextIsNotFoundByItself) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = wordy(160, 5);
  const at::Tensor expected = feed_all(*retrieval_method()->open_stream(decoder, retrieval()), ids);
  Random random(6);
  for (int64_t place = 41; place < 160; place += 5) {
    auto other = ids;
    for (auto at = static_cast<size_t>(place); at < other.size(); ++at)
      other[at] = static_cast<TokenId>(random.below(60));
    const at::Tensor got = feed_all(*retrieval_method()->open_stream(decoder, retrieval()), other);
    EXPECT_LE(relative_difference(got.slice(0, 0, place), expected.slice(0, 0, place)), 1e-6) << place;
    EXPECT_GT(relative_difference(got, expected), 1e-3);
  }
}

TEST(Retrieval, FindsWhatTheQuestionNamesAndForgetsNothing) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto vocab = static_cast<TokenId>(decoder->config().vocab);
  auto text = wordy(600, 7);
  for (TokenId i = 0; i < 6; ++i) text[static_cast<size_t>(120 + i)] = vocab - 1 - i;  // one passage
  const auto stream = retrieval_method()->open_stream(decoder, retrieval());
  stream->feed(text, LogitRows::none);
  const auto holds = [&](int64_t first, int64_t end) {
    const auto kept = stream->kept_positions(0, 0);
    for (int64_t j = first; j < end; ++j)
      if (!std::binary_search(kept.begin(), kept.end(), j)) return false;
    return true;
  };
  EXPECT_FALSE(holds(120, 126));
  const std::vector<TokenId> question = {1, 2, vocab - 3, 4};
  stream->feed(question, LogitRows::last);
  EXPECT_TRUE(holds(120, 126));
  EXPECT_TRUE(holds(0, 3));
  EXPECT_TRUE(holds(600 - kSizes.recent, 604));
  const Accounting a = stream->accounting();
  EXPECT_EQ(a.slots_by_role.at("start"), 3);
  EXPECT_EQ(a.slots_by_role.at("question"), 4);
  EXPECT_EQ(a.slots_by_role.at("passage") % 6, 0);
  EXPECT_GT(a.memory_bytes, a.slots * decoder->config().slot_bytes(4) + 604 * 4);

  // The question is text from then on, and another one finds it.
  stream->feed(wordy(200, 8), LogitRows::none);
  EXPECT_FALSE(holds(600, 604));
  const std::vector<TokenId> again = {vocab - 3, 5};
  stream->feed(again, LogitRows::last);
  EXPECT_TRUE(holds(120, 126));
  EXPECT_TRUE(holds(600, 604));  // in the passage 600 .. 605
}

TEST(Retrieval, LongQuestionsAreReadFromTheirNewestPart) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = wordy(300, 9);
  const auto stream = retrieval_method()->open_stream(decoder, retrieval());
  const at::Tensor logits = stream->feed(ids, LogitRows::last).logits;
  const int64_t question = 300 - (kSizes.budget - kSizes.start - kSizes.block) / 2;
  const auto read = with_text(context_of(ids, 300, question, 300, kSizes), 300, 300);
  EXPECT_EQ(stream->kept_positions(0, 0), read);
  EXPECT_LE(relative_difference(logits[0], forward_over(*decoder, ids, read)[-1]), 1e-5);
}

TEST(Retrieval, AnswersContinueAfterSaveAndFork) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto stream = retrieval_method()->open_stream(decoder, retrieval());
  stream->feed(wordy(100, 10), LogitRows::none);
  stream->feed(wordy(5, 11), LogitRows::last);
  const auto answer = wordy(12, 12);
  const auto say = [&](Stream& to, size_t from, size_t end) {
    std::vector<at::Tensor> logits;
    for (size_t i = from; i < end; ++i)
      logits.push_back(to.feed(std::span(answer).subspan(i, 1), LogitRows::last).logits);
    return at::cat(logits);
  };
  say(*stream, 0, 3);
  const std::string path = test::program_file("retrieval_answer.safetensors");
  stream->save(path);
  const auto loaded = retrieval_method()->open_stream(decoder, retrieval());
  loaded->load(path);
  const auto fork = stream->fork();
  const at::Tensor expected = say(*stream, 3, 12);
  EXPECT_TRUE(test::same_bits(say(*loaded, 3, 12), expected));
  EXPECT_TRUE(test::same_bits(say(*fork, 3, 12), expected));
  EXPECT_EQ(loaded->kept_positions(0, 0), stream->kept_positions(0, 0));
  EXPECT_EQ(loaded->accounting().slots_by_role, stream->accounting().slots_by_role);
}

TEST(Retrieval, WrongParametersAreUsageErrors) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto open = [&](int64_t budget, const FieldValues& params) {
    return retrieval_method()->open_stream(decoder, {.budget = budget, .params = params});
  };
  EXPECT_THROW(open(5, {}), UsageError);
  EXPECT_NO_THROW(open(6, {}));
  EXPECT_THROW(open(20, {{"block", "16"}}), UsageError);
  EXPECT_THROW(open(20, {{"passage", "-1"}}), UsageError);
  EXPECT_THROW(open(20, {{"k1", "-0.5"}}), UsageError);
  EXPECT_THROW(open(20, {{"k1", "nan"}}), UsageError);
}

}  // namespace
}  // namespace steno
