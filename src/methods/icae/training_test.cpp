// icae, section 11: tests 14, 15, 16 and 18, by training on a model of 260 thousand parameters.
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "methods/icae/icae.h"
#include "methods/icae/icae_test_util.h"
#include "methods/icae/objective.h"
#include "methods/icae/reader.h"
#include "train/adamw.h"

namespace steno::icae {
namespace {

constexpr const char* kStory =
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park with her friend Tom. "
    "One day, they found a big red ball under a tree. They were very happy to play with it.";

LossSum total(const LossSums& sums) {
  LossSum all;
  for (const auto& [name, sum] : sums) all += sum;
  return all;
}

double mean(const LossSums& sums) { return total(sums).loss / static_cast<double>(total(sums).tokens); }

// Steps of AdamW with a cosine from `rate` to a tenth of it, over batches of `size` examples in turn.
double train(Objective& objective, const std::vector<Example>& examples, int64_t steps, size_t size, double rate,
             double enough = 0) {
  const auto parameters = objective.parameters();
  Adamw adamw(parameters, {});
  double loss = 0;
  for (int64_t step = 0; step < steps; ++step) {
    std::vector<Example> batch;
    for (size_t i = 0; i < size; ++i) {
      const uint64_t sample = static_cast<uint64_t>(step) * size + i;
      batch.push_back(examples[sample % examples.size()]);
      batch.back().sample = sample;
    }
    zero_gradients(parameters);
    const LossSums sums = objective.accumulate(batch, 1);
    loss = mean(sums);
    if (loss < enough) return loss;
    scale_gradients(parameters, 1 / static_cast<double>(total(sums).tokens));
    if (const double norm = gradient_norm(parameters); norm > 1) scale_gradients(parameters, 1 / norm);
    const double turn = std::cos(std::numbers::pi * static_cast<double>(step) / static_cast<double>(steps));
    adamw.step(rate * (0.55 + 0.45 * turn) * std::min(1.0, static_cast<double>(step + 1) / 20));
  }
  return loss;
}

class IcaeTraining : public testing::Test {
 protected:
  std::unique_ptr<Objective> open(const std::string& objective, FieldValues values) const {
    // This model was trained on stories with BOS between them and never saw EOS.
    values.merge(FieldValues{{"frame", "plain"}, {"eos", "<s>"}});
    return icae_method()->open_objective(model_, objective, values, 1);
  }
  std::vector<TokenId> encode(const std::string& text) const {
    return model_.tokenizer->encode(text, {.add_special = false, .parse_special = false});
  }
  Model model_ = test::stories();
};

TEST_F(IcaeTraining, Icae14OneTextIsLearnedByHeart) {
  const auto text = encode(kStory);
  ASSERT_GE(text.size(), 64u);
  ASSERT_LE(text.size(), 127u);
  const auto objective = open("ae", {{"k", "64"}, {"ratio", "2"}, {"rank", "16"}, {"alpha", "32"}, {"bos", "off"}});
  const std::vector<Example> examples = {{{text}, 0}};
  train(*objective, examples, 2500, 1, 1e-2, 0.004);
  EXPECT_LT(mean(objective->evaluate(examples, 1)), 0.01);
  const auto samples = objective->write_samples(examples);
  EXPECT_EQ(samples[0].output, samples[0].source);
  EXPECT_EQ(samples[0].source, model_.tokenizer->decode(text, true));
}

TEST_F(IcaeTraining, Icae15EightAnswersComeFromTheSlots) {
  const std::vector<std::pair<std::string, std::string>> stories = {
      {"Tim went to the park and saw a big red ball.", "ball"}, {"Lily went home and saw a little cat.", "cat"},
      {"Ben went to the lake and saw a green frog.", "frog"},   {"Mia went to the shop and saw a cake.", "cake"},
      {"Sam went to the farm and saw a cow.", "cow"},           {"Tom went to the sea and saw a boat.", "boat"},
      {"Sue went into the woods and saw a bird.", "bird"},      {"Max went up the hill and saw a kite.", "kite"}};
  const auto prompt = encode("What was it?");
  std::vector<Example> examples;
  for (const auto& [context, answer] : stories)
    examples.push_back({{encode(context), prompt, encode("a " + answer)}, examples.size()});
  const auto objective = open("ft", {{"k", "8"}, {"ratio", "4"}, {"rank", "16"}, {"alpha", "32"}});
  train(*objective, examples, 400, 8, 1e-2, 0.005);
  EXPECT_LT(mean(objective->evaluate(examples, 1)), 0.01);
  const auto samples = objective->write_samples(examples);
  // The same questions about another's slots.
  std::vector<Example> shuffled = examples;
  for (size_t i = 0; i < shuffled.size(); ++i) shuffled[i].parts[0] = examples[(i + 3) % 8].parts[0];
  const auto others = objective->write_samples(shuffled);
  for (size_t i = 0; i < stories.size(); ++i) {
    EXPECT_EQ(samples[i].output, "a " + stories[i].second);
    EXPECT_NE(others[i].output, samples[i].output) << "the answer is not from the slots";
  }
}

// Stories that the model itself tells: in its own distribution, and nobody's property.
std::vector<std::vector<TokenId>> told_stories(const Model& model, size_t count, int64_t tokens, uint64_t seed) {
  Random random(seed);
  std::vector<std::vector<TokenId>> stories(count);
  for (auto& story : stories) {
    const auto stream = method_named("dense").open_stream(model.decoder, {});
    std::vector<TokenId> ids = {*model.tokenizer->bos()};
    while (static_cast<int64_t>(ids.size()) <= tokens) {
      const at::Tensor p = at::softmax(stream->feed(std::span(ids).last(1), LogitRows::last).logits[0], -1).cumsum(0);
      const double place = random.uniform();
      TokenId next = 0;
      while (next + 1 < p.numel() && p.const_data_ptr<float>()[next] < place) ++next;
      ids.push_back(next <= 2 ? ids.back() : next);
    }
    story.assign(ids.begin() + 1, ids.end());
  }
  return stories;
}

class IcaeOrdering : public IcaeTraining {
 protected:
  static constexpr int64_t kSpan = 16;
  std::unique_ptr<Objective> trained(int64_t k, const std::string& objective, int64_t steps, size_t size, double share,
                                     const std::vector<std::vector<TokenId>>& texts) const {
    auto opened = open(objective, {{"k", std::to_string(k)},
                                   {"ratio", std::to_string(kSpan / k)},
                                   {"rank", "16"},
                                   {"alpha", "32"},
                                   {"bos", "off"},
                                   {"multi_span_share", std::to_string(share)},
                                   {"window", std::to_string(2 * kSpan)},
                                   {"min_tokens_for_lm", "8"},
                                   {"leave_tokens_for_lm", "0"}});
    std::vector<Example> examples;
    for (const auto& text : texts) examples.push_back({{text}, examples.size()});
    train(*opened, examples, steps, size, 5e-3);
    return opened;
  }
  // Nats per token of rebuilding texts of `tokens` tokens each.
  double rebuilding(const Objective& objective, const std::vector<std::vector<TokenId>>& texts, int64_t tokens,
                    int64_t shift = 0) const {
    const at::NoGradGuard no_grad;
    const Adapter& adapter = dynamic_cast<const IcaeObjective&>(objective).adapter();
    std::vector<Layout> layouts;
    for (const auto& text : texts) {
      std::vector<TokenId> ids(text.begin(), text.begin() + tokens);
      for (TokenId& id : ids) id = 3 + (id - 3 + static_cast<TokenId>(shift)) % 509;
      layouts.push_back(autoencoding(adapter.plan(model_.decoder->config()), adapter.settings, cut_fixed(ids, kSpan)));
    }
    return mean(pass_loss(*model_.decoder, adapter, layouts, false).sums);
  }
};

TEST_F(IcaeOrdering, Icae16LossesAreInTheOrderOfWhatIsKnown) {
  const auto texts = told_stories(model_, 240, 32, 1), held_out = told_stories(model_, 40, 32, 2);
  const auto many = trained(8, "mix", 300, 16, 0, texts), few = trained(1, "mix", 300, 16, 0, texts);
  const double with_many = rebuilding(*many, held_out, kSpan), with_few = rebuilding(*few, held_out, kSpan);
  EXPECT_LT(with_many, with_few) << "more slots, less loss";
  std::vector<std::vector<TokenId>> random;
  for (uint64_t i = 0; i < 40; ++i) random.push_back(test::random_text(model_, kSpan, i));
  for (auto& text : random)
    for (TokenId& id : text) id = std::max(id, TokenId{3});
  const double shifted = rebuilding(*many, held_out, kSpan, 1), noise = rebuilding(*many, random, kSpan);
  EXPECT_LT(with_many, shifted);
  EXPECT_LT(shifted, noise);

  // Continuations: after the text, after its slots, after nothing.
  const at::NoGradGuard no_grad;
  const Adapter& adapter = dynamic_cast<const IcaeObjective&>(*many).adapter();
  double full = 0, slots = 0, none = 0;
  for (const auto& text : held_out) {
    const std::vector<TokenId> read(text.begin(), text.begin() + kSpan), next(text.begin() + kSpan, text.end());
    const Layout layout = continuation(adapter.plan(model_.decoder->config()), adapter.settings, {read}, next, 0);
    slots += pass_loss(*model_.decoder, adapter, std::span(&layout, 1), false).total.item<double>();
    const auto plain = [&](std::vector<TokenId> before) {
      before.insert(before.begin(), *model_.tokenizer->bos());
      const auto count = static_cast<int64_t>(next.size()), at = static_cast<int64_t>(before.size()) - 1;
      before.insert(before.end(), next.begin(), next.end());
      Input in;
      in.ids = test::ids_tensor(before);
      in.logits = LogitRows::all;
      const at::Tensor logits = model_.decoder->run(in).logits[0].narrow(0, at, count);
      return at::cross_entropy_loss(logits, test::ids_tensor(next)[0], {}, at::Reduction::Sum).item<double>();
    };
    full += plain(read);
    none += plain({});
  }
  EXPECT_LT(full, slots);
  EXPECT_LT(slots, none);
}

// Section 4: slots of several spans are of no use to a model that has only seen those of one; a share of such texts
// in training mends it.
TEST_F(IcaeOrdering, Icae18SeveralSpansNeedAShareOfTheTraining) {
  const auto texts = told_stories(model_, 6, 32, 3);
  const auto single = trained(8, "ae", 400, 8, 0, texts), mixed = trained(8, "ae", 400, 8, 0.5, texts);
  const double one = rebuilding(*single, texts, kSpan), two = rebuilding(*single, texts, 2 * kSpan);
  const double mended = rebuilding(*mixed, texts, 2 * kSpan);
  EXPECT_GT(two, 1.5 * one);
  EXPECT_LT(mended, 0.8 * two);
}

}  // namespace
}  // namespace steno::icae
