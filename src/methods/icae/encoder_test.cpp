// icae, section 11: tests 2 to 8, 11 and 19, on random models.
#include "methods/icae/encoder.h"

#include <gtest/gtest.h>

#include <cmath>

#include "methods/icae/icae_test_util.h"
#include "methods/icae/objective.h"
#include "methods/icae/reader.h"
#include "model/token_loss.h"

namespace steno::icae {
namespace {

using test::random_text;
using test::relative_difference;
using test::same_bits;
using test::slots_of;

class IcaeModels : public testing::TestWithParam<const char*> {
 protected:
  Model model_ = test::tiny_model(GetParam());
  const Decoder& decoder_ = *model_.decoder;
  Adapter adapter_ = test::random_adapter(model_);
  IdPlan plan_ = adapter_.plan(decoder_.config());
};

TEST_P(IcaeModels, Icae03WithoutLoraSlotsAreTheModelsOwnStates) {
  const Adapter fresh = create_adapter(model_, test::small_settings(), {.rank = 4}, TableInit::embedding, 3);
  const auto text = random_text(model_, 9, 1);
  Input in;
  in.embeddings = at::cat({decoder_.embed(test::ids_tensor(text)), fresh.embeddings.narrow(0, 0, 3).unsqueeze(0)}, 1);
  in.logits = LogitRows::none;
  const at::Tensor expected = decoder_.run(in).hidden[0].narrow(0, 9, 3);
  EXPECT_LE(relative_difference(slots_of(model_, fresh, text), expected), 1e-6);
  EXPECT_GT(relative_difference(slots_of(model_, adapter_, text), expected), 0.01);
}

TEST_P(IcaeModels, Icae04TheDecoderDoesNotKnowTheAdapter) {
  const auto text = random_text(model_, 30, 1), more = random_text(model_, 6, 2);
  const at::Tensor slots = slots_of(model_, adapter_, text);
  const auto logits = [&](const Adapter& adapter) {
    Reader reader(model_.decoder, std::make_shared<Adapter>(adapter), {}, 64);
    test::read_fixed_spans(reader, slots, 30);
    return reader.feed(more, LogitRows::all, {}).logits;
  };
  const at::Tensor expected = logits(adapter_);
  Adapter other = test::random_adapter(model_, test::small_settings(), 77);
  other.embeddings = adapter_.embeddings;
  EXPECT_TRUE(same_bits(logits(other), expected));
  // Nor is anything left switched on by an encoder pass between two readings.
  slots_of(model_, other, more);
  EXPECT_TRUE(same_bits(logits(adapter_), expected));
}

TEST_P(IcaeModels, Icae05EmbeddingsInPlaceOfSlotsAreThePlainModel) {
  const auto text = random_text(model_, 12, 1), next = random_text(model_, 20, 2);
  const Layout layout = continuation(plan_, adapter_.settings, cut_fixed(text, 3), next, 0);
  ASSERT_EQ(std::count(layout.ids.begin(), layout.ids.end(), plan_.slot()), 12);
  const std::vector<std::vector<int64_t>> sequence = {layout.ids};
  Input in;
  in.embeddings = embed_sequences(decoder_, adapter_, sequence, decoder_.embed(test::ids_tensor(text))[0]);
  in.logits = LogitRows::none;
  const at::Tensor targets = test::ids_tensor(next)[0];
  const double loss = sum_nll(decoder_, decoder_.run(in).hidden[0].narrow(0, 11, 20), targets).item<double>();
  std::vector<TokenId> whole = text;
  whole.insert(whole.end(), next.begin(), next.end());
  const at::Tensor logits = test::masked_forward(decoder_, whole, [](int64_t, int64_t) { return true; });
  const double expected =
      at::cross_entropy_loss(logits.narrow(0, 11, 20), targets, {}, at::Reduction::Sum).item<double>();
  EXPECT_NEAR(loss / 20, expected / 20, 1e-5);
}

TEST_P(IcaeModels, Icae06LaterMemoryTokensChangeNothingBefore) {
  const auto text = random_text(model_, 10, 1);
  const at::Tensor slots = slots_of(model_, adapter_, text);
  for (int64_t changed = 0; changed < 3; ++changed) {
    Adapter other = adapter_;
    other.embeddings = adapter_.embeddings.clone();
    other.embeddings[changed] += 0.5;
    const at::Tensor moved = slots_of(model_, other, text);
    for (int64_t j = 0; j < 3; ++j)
      EXPECT_EQ(same_bits(moved[j], slots[j]), j < changed) << "slot " << j << ", memory token " << changed;
  }
  // A token that sliding layers have not lost from sight changes every slot.
  for (const size_t token : {size_t{7}, size_t{9}}) {
    auto edited = text;
    edited[token] = (edited[token] + 1) % 90;
    const at::Tensor moved = slots_of(model_, adapter_, edited);
    for (int64_t j = 0; j < 3; ++j) EXPECT_FALSE(same_bits(moved[j], slots[j])) << token << " " << j;
  }
}

TEST_P(IcaeModels, Icae07SpansAreIndependent) {
  const auto text = random_text(model_, 12 * 4, 1);
  const at::Tensor slots = slots_of(model_, adapter_, text);
  for (int64_t span = 0; span < 4; ++span) {
    auto edited = text;
    edited[static_cast<size_t>(12 * span + 11)] = (edited[static_cast<size_t>(12 * span + 11)] + 1) % 90;
    const at::Tensor moved = slots_of(model_, adapter_, edited);
    for (int64_t i = 0; i < 4; ++i)
      EXPECT_EQ(same_bits(moved.narrow(0, 3 * i, 3), slots.narrow(0, 3 * i, 3)), i != span) << span << " " << i;
    const std::vector<TokenId> alone(text.begin() + 12 * span, text.begin() + 12 * (span + 1));
    EXPECT_TRUE(same_bits(slots_of(model_, adapter_, alone), slots.narrow(0, 3 * span, 3)));
  }
}

TEST_P(IcaeModels, Icae08PositionsStartAgainWithEverySpan) {
  const auto span = random_text(model_, 12, 1);
  auto text = random_text(model_, 24, 2);
  text.insert(text.end(), span.begin(), span.end());
  EXPECT_TRUE(same_bits(slots_of(model_, adapter_, text).narrow(0, 6, 3), slots_of(model_, adapter_, span)));
}

TEST_P(IcaeModels, Icae11APaddedBatchEqualsItsSamples) {
  const Spans spans = {random_text(model_, 12, 1), random_text(model_, 1, 2), random_text(model_, 7, 3)};
  const at::NoGradGuard no_grad;
  const at::Tensor batch = encode_spans(decoder_, adapter_, spans);
  for (size_t i = 0; i < spans.size(); ++i)
    EXPECT_LE(relative_difference(batch[static_cast<int64_t>(i)], slots_of(model_, adapter_, spans[i])), 1e-4) << i;

  // Whole examples of three kinds, alone and together: losses, and the gradient of the sum.
  std::vector<Layout> layouts = {
      autoencoding(plan_, adapter_.settings, cut_fixed(random_text(model_, 17, 4), 12)),
      continuation(plan_, adapter_.settings, {random_text(model_, 3, 5)}, random_text(model_, 25, 6), 8),
      instruction(plan_, adapter_.settings, {random_text(model_, 9, 7)}, random_text(model_, 2, 8),
                  random_text(model_, 2, 9))};
  const auto parameters = adapter_.named_parameters();
  for (const auto& [name, value] : parameters) at::Tensor(value).requires_grad_(true);
  const at::AutoGradMode grad(true);
  LossSums alone;
  for (const Layout& layout : layouts) {
    const PassLoss one = pass_loss(decoder_, adapter_, std::span(&layout, 1), false);
    for (const auto& [name, sum] : one.sums) alone[name] += sum;
    one.total.backward();
  }
  std::vector<at::Tensor> gradients;
  for (const auto& [name, value] : parameters) {
    gradients.push_back(value.grad().clone());
    at::Tensor(value).mutable_grad() = at::Tensor();
  }
  const PassLoss together = pass_loss(decoder_, adapter_, layouts, false);
  together.total.backward();
  ASSERT_EQ(together.sums.size(), alone.size());
  for (const auto& [name, sum] : together.sums) {
    EXPECT_NEAR(sum.loss, alone[name].loss, 1e-4 * sum.loss) << name;
    EXPECT_EQ(sum.tokens, alone[name].tokens) << name;
    EXPECT_EQ(sum.examples, 1) << name;
  }
  for (size_t i = 0; i < parameters.size(); ++i)
    EXPECT_LE(relative_difference(parameters[i].second.grad(), gradients[i]), 1e-4) << parameters[i].first;
  // The same with blocks that run twice.
  for (const auto& [name, value] : parameters) at::Tensor(value).mutable_grad() = at::Tensor();
  pass_loss(decoder_, adapter_, layouts, true).total.backward();
  for (size_t i = 0; i < parameters.size(); ++i)
    EXPECT_LE(relative_difference(parameters[i].second.grad(), gradients[i]), 1e-4) << parameters[i].first;
}

TEST_P(IcaeModels, Icae19Bf16IsCloseAndFinite) {
  const Model rounded = test::tiny_model(GetParam(), at::kBFloat16);
  const Layout layout = autoencoding(plan_, adapter_.settings, cut_fixed(random_text(model_, 40, 4), 12));
  const at::NoGradGuard no_grad;
  const double exact = pass_loss(decoder_, adapter_, std::span(&layout, 1), false).total.item<double>();
  const double close = pass_loss(*rounded.decoder, adapter_, std::span(&layout, 1), false).total.item<double>();
  EXPECT_TRUE(std::isfinite(close));
  EXPECT_NEAR(close, exact, 0.01 * exact);
}

INSTANTIATE_TEST_SUITE_P(Tiny, IcaeModels, testing::Values("llama_tied", "qwen3", "mistral_window", "gemma3"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace steno::icae
