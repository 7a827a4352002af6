// icae, section 11: tests 13 and 20, and what a reader promises as a stream.
#include "methods/icae/reader.h"

#include <gtest/gtest.h>

#include "io/safetensors.h"
#include "methods/icae/compressor.h"
#include "methods/icae/icae_test_util.h"

namespace steno::icae {
namespace {

using test::random_text;
using test::relative_difference;
using test::same_bits;

class IcaeReader : public testing::TestWithParam<const char*> {
 protected:
  std::unique_ptr<MemoryReader> open() const { return compressor_.open_reader(); }
  Model model_ = test::tiny_model(GetParam());
  std::shared_ptr<const Adapter> adapter_ = std::make_shared<Adapter>(test::random_adapter(model_));
  IcaeCompressor compressor_{model_.decoder, adapter_};
  std::vector<TokenId> text_ = random_text(model_, 31, 1);
};

// Greedy writing with a cache, and by reading everything again for every token.
TEST_P(IcaeReader, Icae13CachedDecodingEqualsRecomputation) {
  const auto spans = compressor_.compress(cut_fixed(text_, 12));
  const auto reader = open();
  reader->read_slots(spans);
  at::Tensor logits = reader->begin(ReaderTask::reconstruct, LogitRows::last).logits;
  const at::Tensor slots = test::slots_of(model_, *adapter_, text_);
  const IdPlan plan = adapter_->plan(model_.decoder->config());
  std::vector<int64_t> sequence(static_cast<size_t>(slots.size(0)), plan.slot());
  sequence.push_back(plan.ae());
  for (int step = 0; step < 12; ++step) {
    ASSERT_EQ(logits.sizes(), (std::vector<int64_t>{1, model_.decoder->config().vocab})) << "text ids only";
    const at::NoGradGuard no_grad;
    Input in;
    in.embeddings = embed_sequences(*model_.decoder, *adapter_, std::span(&sequence, 1), slots);
    in.logits = LogitRows::last;
    EXPECT_LE(relative_difference(logits[0], model_.decoder->run(in).logits[0][0]), 1e-5) << step;
    const auto next = static_cast<TokenId>(logits[0].argmax().item<int64_t>());
    sequence.push_back(next);
    logits = reader->feed(std::span(&next, 1), LogitRows::last).logits;
  }
}

TEST_P(IcaeReader, Icae20CachedSlotsGiveTheSameAnswer) {
  const auto fresh = compressor_.compress(cut_fixed(text_, 12));
  int64_t bytes = 0;
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (size_t i = 0; i < fresh.size(); ++i) {
    bytes += static_cast<int64_t>(fresh[i].tensors[0].second.nbytes());
    tensors.emplace_back(std::to_string(i), fresh[i].tensors[0].second);
  }
  EXPECT_EQ(bytes, 3 * 3 * model_.decoder->config().d_model * 4) << "K * d * b";
  const test::TemporaryFolder folder;
  write_safetensors(folder.path() / "slots.safetensors", tensors);
  const auto file = SafetensorsFile::open(folder.path() / "slots.safetensors");
  std::vector<SpanSlots> cached;
  for (size_t i = 0; i < fresh.size(); ++i)
    cached.push_back({{{"slots", file->tensor(std::to_string(i))}}, fresh[i].source_tokens});
  const auto answer = [&](const std::vector<SpanSlots>& spans) {
    const auto reader = open();
    reader->feed(std::span(text_).first(2), LogitRows::none);
    reader->read_slots(spans);
    reader->begin(ReaderTask::instruct, LogitRows::none);
    return reader->feed(std::span(text_).first(5), LogitRows::all).logits;
  };
  EXPECT_TRUE(same_bits(answer(cached), answer(fresh)));
  // One by one, in any company: the same bits.
  const Spans pieces = cut_fixed(text_, 12);
  for (size_t i = 0; i < pieces.size(); ++i)
    EXPECT_TRUE(
        same_bits(compressor_.compress(std::span(&pieces[i], 1))[0].tensors[0].second, fresh[i].tensors[0].second));
}

TEST_P(IcaeReader, AccountsForSlotsTokensAndTasks) {
  const auto reader = open();
  const int64_t row = model_.decoder->config().slot_bytes(4);
  reader->feed(std::span(text_).first(4), LogitRows::none);
  reader->read_slots(compressor_.compress(cut_fixed(text_, 12)));
  const FeedResult begun = reader->begin(ReaderTask::instruct, LogitRows::last);
  EXPECT_EQ(begun.first_position, 4 + 31 - 1);
  EXPECT_FALSE(reader->begin(ReaderTask::continue_text, LogitRows::last).logits.defined()) << "no token for it";
  const FeedResult fed = reader->feed(std::span(text_).first(3), LogitRows::all);
  EXPECT_EQ(fed.first_position, 4 + 31);
  const Accounting a = reader->accounting();
  EXPECT_EQ(a.source_tokens, 4 + 31 + 3);
  EXPECT_EQ(a.slots, 4 + 9 + 1 + 3);
  EXPECT_EQ(a.slots_by_role, (std::map<std::string, int64_t>{{"slot", 9}, {"task", 1}, {"token", 7}}));
  EXPECT_EQ(a.memory_bytes, 17 * row);
  EXPECT_EQ(a.dropped_tokens, 0);
  EXPECT_EQ(static_cast<int64_t>(reader->kept_positions(0, 0).size()), 38);
}

TEST_P(IcaeReader, SavedAndForkedReadersGoOnWithTheSameBits) {
  const auto reader = open();
  reader->read_slots(compressor_.compress(cut_fixed(text_, 12)));
  reader->begin(ReaderTask::reconstruct, LogitRows::none);
  reader->feed(std::span(text_).first(3), LogitRows::none);
  const test::TemporaryFolder folder;
  const std::string path = (folder.path() / "reader.safetensors").string();
  reader->save(path, {{"model", "a"}});
  const auto loaded = open();
  EXPECT_THROW(loaded->load(path, {{"model", "b"}}), InputError);
  loaded->load(path, {{"model", "a"}});
  const auto fork = reader->fork();
  const at::Tensor expected = reader->feed(text_, LogitRows::all).logits;
  EXPECT_TRUE(same_bits(loaded->feed(text_, LogitRows::all).logits, expected));
  EXPECT_TRUE(same_bits(fork->feed(text_, LogitRows::all).logits, expected));
  EXPECT_EQ(loaded->accounting().slots_by_role, reader->accounting().slots_by_role);
  auto other = std::make_shared<Adapter>(test::random_adapter(model_, test::small_settings(), 8));
  EXPECT_THROW(IcaeCompressor(model_.decoder, other).open_reader()->load(path, {{"model", "a"}}), InputError)
      << "another adapter";
}

TEST_P(IcaeReader, WhatAQuestionAttendsTo) {
  const auto attending = open(), plain = open();
  for (auto* reader : {attending.get(), plain.get()}) reader->read_slots(compressor_.compress(cut_fixed(text_, 12)));
  const at::Tensor given = attending->feed_attending(std::span(text_).first(4));
  ASSERT_EQ(given.sizes(), (std::vector<int64_t>{9}));
  EXPECT_GE(given.min().item<double>(), 0);
  EXPECT_GT(given.sum().item<double>(), 0);
  EXPECT_LE(given.sum().item<double>(), 1 + 1e-6);
  plain->feed(std::span(text_).first(4), LogitRows::none);
  EXPECT_LE(
      relative_difference(attending->feed(text_, LogitRows::last).logits, plain->feed(text_, LogitRows::last).logits),
      1e-5);
}

TEST_P(IcaeReader, SlotsOfOthersAreRefused) {
  const auto reader = open();
  const int64_t d = model_.decoder->config().d_model;
  for (const SpanSlots& bad :
       {SpanSlots{{{"states", at::zeros({3, d})}}, 12}, SpanSlots{{{"slots", at::zeros({2, d})}}, 12},
        SpanSlots{{{"slots", at::zeros({3, d + 1})}}, 12}, SpanSlots{{{"slots", at::zeros({3, d}, at::kLong)}}, 12},
        SpanSlots{{{"slots", at::zeros({3, d})}}, 0}, SpanSlots{}})
    EXPECT_THROW(reader->read_slots(std::span(&bad, 1)), InputError);
  EXPECT_EQ(reader->accounting().slots, 0);
  EXPECT_THROW(compressor_.compress(Spans(1)), InputError);
  EXPECT_THROW(compressor_.compress(Spans{random_text(model_, 13, 1)}), InputError);
  EXPECT_THROW(compressor_.compress(Spans{{1, 5000}}), InputError);
}

INSTANTIATE_TEST_SUITE_P(Tiny, IcaeReader, testing::Values("llama_tied", "mistral_window", "gemma3"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace steno::icae
