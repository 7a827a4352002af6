// ICAE as a stream: what becomes slots, what is read as it is.
#include "methods/icae/stream.h"

#include <gtest/gtest.h>

#include "methods/icae/compressor.h"
#include "methods/icae/icae.h"
#include "methods/icae/icae_test_util.h"

namespace steno::icae {
namespace {

using test::random_text;
using test::relative_difference;
using test::same_bits;

class IcaeStreams : public testing::Test {
 protected:
  // Spans of 12 tokens, 3 slots each.
  IcaeStream open(const Settings& settings = test::small_settings(), bool task_tokens = true) {
    adapter_ = std::make_shared<Adapter>(test::random_adapter(model_, settings));
    return IcaeStream(model_.decoder, adapter_, task_tokens, 16);
  }
  // What a reader gives for the same pieces.
  std::unique_ptr<MemoryReader> reader(const std::vector<TokenId>& before, const Spans& spans) const {
    const IcaeCompressor compressor(model_.decoder, adapter_);
    auto reader = compressor.open_reader();
    reader->feed(before, LogitRows::none);
    reader->read_slots(compressor.compress(spans));
    return reader;
  }
  Model model_ = test::tiny_model("llama_tied");
  std::shared_ptr<const Adapter> adapter_;
  const std::vector<TokenId> text_ = random_text(model_, 31, 1), question_ = random_text(model_, 5, 2);
};

TEST_F(IcaeStreams, ContextBecomesSlotsAndTheQuestionIsReadBehindThem) {
  for (const size_t piece : {1, 5, 12, 31}) {
    IcaeStream stream = open();
    for (size_t at = 0; at < text_.size(); at += piece)
      stream.feed(std::span(text_).subspan(at, std::min(piece, text_.size() - at)), LogitRows::none, {});
    EXPECT_EQ(stream.accounting().slots_by_role, (std::map<std::string, int64_t>{{"slot", 6}, {"token", 7}}));
    const FeedResult result = stream.feed(question_, LogitRows::last, {});
    EXPECT_EQ(result.first_position, 35);
    const auto expected = reader({}, cut_fixed(text_, 12));
    EXPECT_LE(relative_difference(result.logits, expected->feed(question_, LogitRows::last).logits), 1e-5) << piece;
    const Accounting a = stream.accounting();
    EXPECT_EQ(a.slots_by_role, (std::map<std::string, int64_t>{{"slot", 9}, {"token", 5}}));
    EXPECT_EQ(a.source_tokens, 36);
    EXPECT_EQ(a.dropped_tokens, 0);
    EXPECT_NE(a.reading.find("3 so far, the shortest of 7"), std::string::npos) << a.reading;
    // A second document after the answer.
    stream.feed(text_, LogitRows::none, {});
    stream.feed(question_, LogitRows::last, {});
    EXPECT_EQ(stream.accounting().slots_by_role.at("slot"), 18);
  }
}

TEST_F(IcaeStreams, TheTaskTokenFollowsTheSlots) {
  Settings settings = test::small_settings();
  settings.instruct = settings.lm_token = true;
  for (const LogitRows rows : {LogitRows::last, LogitRows::all}) {
    IcaeStream stream = open(settings), without = open(settings, false);
    for (IcaeStream* s : {&stream, &without}) s->feed(text_, LogitRows::none, {});
    const auto with_token = reader({}, cut_fixed(text_, 12)), plain = reader({}, cut_fixed(text_, 12));
    with_token->begin(rows == LogitRows::last ? ReaderTask::instruct : ReaderTask::continue_text, LogitRows::none);
    EXPECT_LE(relative_difference(stream.feed(question_, rows, {}).logits, with_token->feed(question_, rows).logits),
              1e-5);
    EXPECT_LE(relative_difference(without.feed(question_, rows, {}).logits, plain->feed(question_, rows).logits), 1e-5);
    stream.feed(question_, rows, {});
    EXPECT_EQ(stream.accounting().slots_by_role.at("task"), 1) << "once, not for every feed";
  }
}

TEST_F(IcaeStreams, TheTemplateIsReadAsItIsAndBosOpensTheFirstSpan) {
  Settings settings = test::small_settings();
  settings.before = "40 41 42";
  settings.bos = 101;
  IcaeStream stream = open(settings);
  std::vector<TokenId> fed = {40, 41, 42};
  fed.insert(fed.end(), text_.begin(), text_.end());
  stream.feed(fed, LogitRows::none, {});
  const FeedResult result = stream.feed(question_, LogitRows::last, {});
  std::vector<TokenId> opened = {101};
  opened.insert(opened.end(), text_.begin(), text_.end());
  const auto expected = reader({40, 41, 42}, cut_fixed(opened, 12));
  EXPECT_LE(relative_difference(result.logits, expected->feed(question_, LogitRows::last).logits), 1e-5);
  EXPECT_EQ(stream.tokens_seen(), 3 + 31 + 5) << "BOS was not fed";
  // Text that begins otherwise, or with BOS, is all context.
  IcaeStream other = open(settings);
  other.feed(opened, LogitRows::none, {});
  EXPECT_LE(relative_difference(other.feed(question_, LogitRows::last, {}).logits,
                                reader({}, cut_fixed(opened, 12))->feed(question_, LogitRows::last).logits),
            1e-5);
}

TEST_F(IcaeStreams, SlotsSurviveSavingAndForking) {
  const test::TemporaryFolder folder;
  const std::string path = (folder.path() / "stream.safetensors").string();
  for (const size_t fed : {size_t{5}, size_t{24}, size_t{31}}) {
    IcaeStream stream = open();
    stream.feed(std::span(text_).first(fed), LogitRows::none, {});
    stream.save(path, {});
    IcaeStream loaded(model_.decoder, adapter_, true, 16);
    loaded.feed(question_, LogitRows::last, {});
    loaded.load(path, {});
    EXPECT_EQ(loaded.accounting().slots_by_role, stream.accounting().slots_by_role);
    EXPECT_EQ(loaded.accounting().reading, stream.accounting().reading);
    const auto fork = stream.fork();
    stream.feed(question_, LogitRows::none, {});
    const at::Tensor expected = stream.feed(question_, LogitRows::all, {}).logits;
    for (Stream* other : {static_cast<Stream*>(&loaded), fork.get()}) {
      other->feed(question_, LogitRows::none);
      EXPECT_TRUE(same_bits(other->feed(question_, LogitRows::all).logits, expected)) << fed;
    }
  }
}

TEST_F(IcaeStreams, NeedsAnAdapter) {
  EXPECT_THROW(icae_method()->open_stream(model_.decoder, {}), UsageError);
  EXPECT_THROW(icae_method()->open_compressor(model_, {}), UsageError);
  EXPECT_THROW(icae_method()->open_stream(model_.decoder, {.params = {{"adapter", "/no/such"}}}), UsageError);
}

TEST_F(IcaeStreams, ExpectedSlotsAreTheMostThatAreKept) {
  Settings settings = test::small_settings();
  settings.before = "40 41 42";
  settings.bos = 101;
  const test::TemporaryFolder folder;
  save_adapter(test::random_adapter(model_, settings), folder.path(), at::kFloat, {});
  const StreamOptions options{.params = {{"adapter", folder.path().string()}}};
  for (const bool with_template : {false, true}) {
    const auto stream = icae_method()->open_stream(model_.decoder, options);
    std::vector<TokenId> fed = with_template ? std::vector<TokenId>{40, 41, 42} : std::vector<TokenId>{7, 8, 9};
    fed.insert(fed.end(), text_.begin(), text_.end());
    for (size_t i = 0; i < fed.size(); ++i) {
      stream->feed(std::span(fed).subspan(i, 1), LogitRows::none);
      EXPECT_LE(stream->accounting().slots, icae_method()->expected_slots(options, static_cast<int64_t>(i) + 1)) << i;
    }
  }
}

}  // namespace
}  // namespace steno::icae
