// Against ICAE by transformers and PEFT (tests/golden/make_icae_golden.py).
#include <gtest/gtest.h>

#include "io/safetensors.h"
#include "methods/icae/icae_test_util.h"
#include "methods/icae/objective.h"
#include "methods/icae/reader.h"
#include "train/trainer.h"

namespace steno::icae {
namespace {

using test::relative_difference;

class IcaeGolden : public testing::Test {
 protected:
  IcaeGolden() {
    Settings settings = test::small_settings(3, 4);
    settings.before = "101 40";
    settings.after = "41 42";
    adapter_.settings = settings;
    adapter_.lora = AdapterSet::load(folder_, model_.decoder->config());
    adapter_.embeddings = file_->tensor("embeddings").clone();
  }
  std::vector<TokenId> ids(const std::string& name) const {
    const at::Tensor t = file_->tensor(name);
    return {t.const_data_ptr<int64_t>(), t.const_data_ptr<int64_t>() + t.numel()};
  }
  IcaeObjective objective(ObjectiveOptions options) const {
    options.sampler.window = 12;
    options.sampler.multi_window = 1000;
    options.sampler.multi_span_share = 1;
    return IcaeObjective(model_.decoder, model_.tokenizer, adapter_, options);
  }
  // Of all three texts, against the tensors whose names begin with `prefix`.
  void expect_slots_and_logits(const std::string& prefix) const {
    for (const std::string number : {"0", "1", "2"}) {
      const auto text = ids("text." + number);
      const at::Tensor slots = test::slots_of(model_, adapter_, text);
      EXPECT_LE(relative_difference(slots, file_->tensor(prefix + "slots." + number)), 1e-5) << number;
      Reader reader(model_.decoder, std::make_shared<Adapter>(adapter_), {}, 7);
      test::read_fixed_spans(reader, slots, static_cast<int64_t>(text.size()));
      const at::Tensor first = reader.begin(ReaderTask::reconstruct, LogitRows::last).logits;
      const at::Tensor rest = reader.feed(text, LogitRows::all, {}).logits;
      EXPECT_LE(relative_difference(at::cat({first, rest}, 0), file_->tensor(prefix + "logits." + number)), 1e-5)
          << number;
    }
  }
  void expect_loss(const std::string& name, const Layout& layout) {
    for (const auto& [key, value] : adapter_.named_parameters()) {
      at::Tensor(value).requires_grad_(true);
      at::Tensor(value).mutable_grad() = at::Tensor();
    }
    const at::AutoGradMode grad(true);
    const PassLoss loss = pass_loss(*model_.decoder, adapter_, std::span(&layout, 1), false);
    const double expected = file_->tensor("loss." + name)[0].item<double>();
    EXPECT_NEAR(loss.total.item<double>(), expected, 1e-5 * expected) << name;
    loss.total.backward();
    for (const auto& [key, value] : adapter_.named_parameters()) {
      const at::Tensor wanted = file_->tensor("grad." + name + "." + key);
      ASSERT_TRUE(value.grad().defined()) << key;
      // Relative to the length of the gradient.
      const double error = (value.grad() - wanted).norm().item<double>() / wanted.norm().item<double>();
      EXPECT_LE(error, 1e-5) << name << " " << key;
    }
  }

  std::filesystem::path folder_ = std::filesystem::path(STENO_SOURCE_DIR) / "tests/data/icae";
  Model model_ = test::tiny_model("llama_untied");
  std::shared_ptr<const SafetensorsFile> file_ = SafetensorsFile::open(folder_ / "golden.safetensors");
  Adapter adapter_;
};

TEST_F(IcaeGolden, SlotsAndLogits) { expect_slots_and_logits(""); }

TEST_F(IcaeGolden, LossesAndGradients) {
  const IdPlan plan = adapter_.plan(model_.decoder->config());
  const Spans spans = cut_fixed(ids("text.1"), 12);
  ASSERT_EQ(spans.size(), 3u);
  expect_loss("ae", autoencoding(plan, adapter_.settings, spans));
  expect_loss("lm", continuation(plan, adapter_.settings, spans, ids("next"), 8));
  expect_loss("ft", instruction(plan, adapter_.settings, spans, ids("prompt"), ids("answer")));
}

TEST_F(IcaeGolden, EnhancedPositions) {
  adapter_.settings.positions = "enhanced";
  expect_slots_and_logits("enhanced.");
  const at::NoGradGuard no_grad;
  const IdPlan plan = adapter_.plan(model_.decoder->config());
  const Spans spans = cut_fixed(ids("text.1"), 12);
  const auto expect_loss = [&](const std::string& name, const Layout& layout) {
    const double expected = file_->tensor("enhanced.loss." + name)[0].item<double>();
    const double loss = pass_loss(*model_.decoder, adapter_, std::span(&layout, 1), false).total.item<double>();
    EXPECT_NEAR(loss, expected, 1e-5 * expected) << name;
    EXPECT_GT(std::abs(expected - file_->tensor("loss." + name)[0].item<double>()), 1e-3 * expected);
  };
  expect_loss("ae", autoencoding(plan, adapter_.settings, spans));
  expect_loss("lm", continuation(plan, adapter_.settings, spans, ids("next"), 8));
  expect_loss("ft", instruction(plan, adapter_.settings, spans, ids("prompt"), ids("answer")));
}

// The two texts of the script, one after the other for ever.
class TwoTexts : public ExampleSource {
 public:
  explicit TwoTexts(std::vector<std::vector<TokenId>> texts) : texts_(std::move(texts)) {}
  int64_t size() const override { return 2; }
  Example at(uint64_t sample, uint64_t) const override { return {{texts_[sample % 2]}, sample}; }

 private:
  std::vector<std::vector<TokenId>> texts_;
};

class LossSink : public MetricsSink {
 public:
  void scalars(int64_t, const Scalars& values) override {
    for (const auto& [name, value] : values)
      if (name == "train/loss") losses.push_back(value);
  }
  void text(int64_t, const std::string&, const std::string&) override {}
  std::vector<double> losses;
};

// steno's trainer against torch.optim.AdamW with clipping, on two texts of which one takes three spans. The loss falls
// by a third on the way.
TEST_F(IcaeGolden, TrainingCurve) {
  IcaeObjective ae = objective({});
  const TwoTexts source({ids("text.0"), ids("text.1")});
  const test::TemporaryFolder folder;
  const auto ranks = single_process();
  TrainConfig config;
  config.steps = 20;
  config.batch = 2;
  config.micro_batch = 1;
  config.lr = 3e-3;
  config.schedule = "constant";
  config.warmup = 0;
  config.weight_decay = 0.01;
  config.log_every = 1;
  config.eval_every = config.save_every = 0;
  LossSink sink;
  Trainer(ae, source, nullptr, *ranks, config, {.folder = folder.path() / "run"}, {&sink}).run();
  const at::Tensor curve = file_->tensor("curve");
  ASSERT_EQ(static_cast<int64_t>(sink.losses.size()), curve.numel());
  for (int64_t step = 0; step < curve.numel(); ++step)
    EXPECT_NEAR(sink.losses[static_cast<size_t>(step)], curve[step].item<double>(), 1e-4) << "step " << step;
}

}  // namespace
}  // namespace steno::icae
