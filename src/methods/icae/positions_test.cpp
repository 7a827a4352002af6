// Enhanced positions (icae, section 9): against the formula as it is written there, and what reading means for them.
#include "methods/icae/positions.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/error.h"
#include "methods/icae/compressor.h"
#include "methods/icae/icae_test_util.h"
#include "methods/icae/layout.h"

namespace steno::icae {
namespace {

using Positions = std::vector<int64_t>;

TEST(IcaePositions, Names) {
  EXPECT_EQ(position_layout_named("icae", "enhanced"), PositionLayout::enhanced);
  EXPECT_THROW(position_layout_named("icae", "spread"), UsageError);
}

TEST(IcaePositions, EncoderFollowsTheFormula) {
  EXPECT_EQ(encoder_positions(PositionLayout::standard, 2, 3), (Positions{0, 1, 2, 3, 4}));
  for (int64_t k = 1; k <= 9; ++k) {
    for (int64_t tokens = 1; tokens <= 40; ++tokens) {
      const Positions positions = encoder_positions(PositionLayout::enhanced, k, tokens);
      ASSERT_EQ(static_cast<int64_t>(positions.size()), tokens + k);
      const double c = static_cast<double>(tokens) / static_cast<double>(k);
      for (int64_t t = 0; t < tokens; ++t) EXPECT_EQ(positions[static_cast<size_t>(t)], t);
      for (int64_t j = 0; j < k; ++j) {
        const int64_t position = positions[static_cast<size_t>(tokens + j)];
        const double exact = (c - 1) / 2 + static_cast<double>(j) * c;
        EXPECT_LE(std::abs(static_cast<double>(position) - exact), 0.5 + 1e-9) << k << " " << tokens << " " << j;
        EXPECT_GE(position, 0);
        EXPECT_LT(position, tokens) << "a slot stands among the tokens it was written for";
      }
    }
  }
}

TEST(IcaePositions, LayoutsOfAllObjectives) {
  Settings settings;
  settings.k = 2, settings.eos = 8, settings.answer_end = 9;
  settings.before = "50 51", settings.after = "52";
  const IdPlan plan{100, 2};
  const Spans spans = {{1, 20, 21, 22}, {23, 24}};
  const std::vector<TokenId> next = {30, 31, 32}, prompt = {60}, answer = {70, 71};
  const auto counted = [](size_t n) {
    Positions all(n);
    std::iota(all.begin(), all.end(), int64_t{0});
    return all;
  };
  for (const bool lm_token : {false, true}) {
    settings.lm_token = lm_token;
    for (const Layout& layout : {autoencoding(plan, settings, spans), continuation(plan, settings, spans, next, 1),
                                 instruction(plan, settings, spans, prompt, answer)})
      EXPECT_EQ(layout.positions, counted(layout.ids.size())) << layout.objective;
  }
  settings.positions = "enhanced";
  // Text 1..4 and 5..6, slots in the middle of each half; the text comes back where it stood.
  EXPECT_EQ(autoencoding(plan, settings, spans).positions, (Positions{2, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(continuation(plan, settings, spans, next, 1).positions, (Positions{2, 4, 5, 6, 6, 7, 8, 9}));
  settings.lm_token = false;
  EXPECT_EQ(continuation(plan, settings, spans, next, 1).positions, (Positions{2, 4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(instruction(plan, settings, spans, prompt, answer).positions,
            (Positions{0, 1, 3, 5, 6, 7, 7, 8, 9, 10, 11, 12}));
}

class IcaeEnhanced : public testing::TestWithParam<const char*> {
 protected:
  static Settings settings() {
    Settings s = test::small_settings();
    s.positions = "enhanced";
    return s;
  }
  Model model_ = test::tiny_model(GetParam());
  std::shared_ptr<const Adapter> adapter_ = std::make_shared<Adapter>(test::random_adapter(model_, settings()));
  std::vector<TokenId> text_ = test::random_text(model_, 31, 1);
};

// The source numbers text through the document; here every span begins at 0. RoPE makes them the same.
TEST_P(IcaeEnhanced, SlotsDoNotDependOnWhereTheirSpanStands) {
  const at::NoGradGuard no_grad;
  const std::span<const TokenId> span(text_.data(), 10);
  const IdPlan plan = adapter_->plan(model_.decoder->config());
  std::vector<int64_t> sequence(span.begin(), span.end());
  for (int64_t j = 0; j < plan.k; ++j) sequence.push_back(plan.memory(j));
  const auto at = [&](int64_t begin) {
    Input in;
    in.embeddings = embed_sequences(*model_.decoder, *adapter_, std::span(&sequence, 1));
    const auto positions = encoder_positions(PositionLayout::enhanced, plan.k, 10);
    in.positions = at::tensor(positions, at::kLong).unsqueeze(0) + begin;
    in.adapters = &adapter_->lora;
    in.logits = LogitRows::none;
    return model_.decoder->run(in).hidden[0].narrow(0, 10, plan.k);
  };
  const std::vector<TokenId> tokens(span.begin(), span.end());
  const at::Tensor slots = encode_spans(*model_.decoder, *adapter_, std::span(&tokens, 1))[0];
  EXPECT_TRUE(test::same_bits(slots, at(0)));
  EXPECT_LE(test::relative_difference(at(100), slots), 1e-4);
  Adapter standard = *adapter_;
  standard.settings.positions = "standard";
  EXPECT_GT(test::relative_difference(encode_spans(*model_.decoder, standard, std::span(&tokens, 1))[0], slots), 1e-3)
      << "the layout must matter";
}

// What is read span by span with a cache is what the objective trains in one pass.
TEST_P(IcaeEnhanced, ReadingEqualsTheTrainedSequence) {
  const at::NoGradGuard no_grad;
  const IcaeCompressor compressor(model_.decoder, adapter_);
  const Spans spans = cut_fixed(text_, 12);
  EXPECT_EQ(compressor.span_positions(7), 7);
  const auto written = compressor.compress(spans);
  const IdPlan plan = adapter_->plan(model_.decoder->config());
  const auto trained = [&](const Layout& layout) {
    Input in;
    in.embeddings = embed_sequences(*model_.decoder, *adapter_, std::span(&layout.ids, 1),
                                    test::slots_of(model_, *adapter_, text_));
    in.positions = positions_of(*model_.decoder, std::span(&layout.positions, 1));
    in.logits = LogitRows::all;
    return model_.decoder->run(in).logits[0];
  };
  const auto close = [](const at::Tensor& a, const at::Tensor& b) { EXPECT_LE(test::relative_difference(a, b), 1e-5); };
  {
    const Layout layout = autoencoding(plan, adapter_->settings, spans);
    const auto reader = compressor.open_reader();
    reader->read_slots(written);
    const at::Tensor first = reader->begin(ReaderTask::reconstruct, LogitRows::last).logits;
    // Saved and loaded on the way.
    const test::TemporaryFolder folder;
    reader->save((folder.path() / "reader").string(), {});
    const auto loaded = compressor.open_reader();
    loaded->load((folder.path() / "reader").string(), {});
    const at::Tensor rest = loaded->feed(text_, LogitRows::all).logits;
    close(at::cat({first, rest}, 0), trained(layout).narrow(0, 9, 32));
  }
  {
    const std::vector<TokenId> prompt = {5, 6, 7}, answer = {8, 9};
    Adapter framed = *adapter_;
    framed.settings.before = "11 12";
    const Layout layout = instruction(plan, framed.settings, spans, prompt, answer);
    const auto reader = compressor.open_reader();
    reader->feed(ids_of(framed.settings.before), LogitRows::none);
    for (const SpanSlots& span : written) reader->read_slots(std::span(&span, 1));
    reader->begin(ReaderTask::instruct, LogitRows::none);
    reader->feed_attending(prompt);
    close(reader->feed(answer, LogitRows::last).logits[0], trained(layout)[layout.ids.size() - 2]);
  }
}

INSTANTIATE_TEST_SUITE_P(Tiny, IcaeEnhanced, testing::Values("llama_tied", "qwen3"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace steno::icae
