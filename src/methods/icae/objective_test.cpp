// icae, section 11: tests 2, 9 and 12, on a random model.
#include "methods/icae/objective.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "methods/icae/icae.h"
#include "methods/icae/icae_test_util.h"
#include "train/adamw.h"

namespace steno::icae {
namespace {

using test::random_text;
using test::relative_difference;

class IcaeObjectives : public testing::Test {
 protected:
  std::unique_ptr<Objective> open(const std::string& objective, FieldValues more = {}) const {
    FieldValues values = {{"k", "3"},         {"ratio", "4"}, {"rank", "4"}, {"min_tokens_for_lm", "12"},
                          {"frame", "plain"}, {"bos", "off"}};
    for (const auto& [name, value] : more) values[name] = value;
    return icae_method()->open_objective(model_, objective, values, 5);
  }
  Example text(int64_t tokens, uint64_t sample) const { return {{random_text(model_, tokens, sample + 100)}, sample}; }
  // This one has a tokenizer with BOS.
  Model model_ = load_model(test::tiny_folder("llama_tied") / "model.gguf", {.dtype = at::kFloat});
};

double norm(const Objective& objective, const std::string& part) {
  double sum = 0;
  for (const Parameter& p : objective.parameters())
    if (p.name.find(part) != std::string::npos) sum += p.value.grad().square().sum().item<double>();
  return std::sqrt(sum);
}

TEST_F(IcaeObjectives, Icae02OnlyLoraAndTheTableAreTrained) {
  const auto objective = open("ae");
  const ModelConfig& c = model_.decoder->config();
  const int64_t q = c.heads * c.d_h, v = c.kv_heads * c.d_h, d = c.d_model;
  int64_t count = 0;
  for (const Parameter& p : objective->parameters()) {
    count += p.value.numel();
    EXPECT_TRUE(p.value.requires_grad() && p.value.is_leaf()) << p.name;
    EXPECT_TRUE(p.name == "embeddings" || p.name.find("q_proj.lora_") != std::string::npos ||
                p.name.find("v_proj.lora_") != std::string::npos)
        << p.name;
    EXPECT_EQ(p.decay, p.name != "embeddings");
  }
  EXPECT_EQ(count, c.layers * 4 * ((d + q) + (d + v)) + (3 + 3) * d);

  const std::vector<Example> batch = {text(20, 0)};
  Adamw adamw(objective->parameters(), {});
  zero_gradients(objective->parameters());
  objective->accumulate(batch, 1);
  EXPECT_EQ(norm(*objective, "lora_A"), 0) << "B is zero";
  EXPECT_GT(norm(*objective, "lora_B"), 0);
  const at::Tensor table = objective->parameters().back().value.grad();
  for (int64_t row = 0; row < 4; ++row) EXPECT_GT(table[row].norm().item<double>(), 0) << "memory tokens and [AE]";
  EXPECT_EQ(table.narrow(0, 4, 2).norm().item<double>(), 0) << "[LM] and [FT] were not used";
  adamw.step(0.01);
  zero_gradients(objective->parameters());
  objective->accumulate(batch, 1);
  EXPECT_GT(norm(*objective, "lora_A"), 0);
  EXPECT_GT(norm(*objective, "lora_B"), 0);
  for (const LayerWeights& l : model_.decoder->weights().layers)
    for (const LinearWeight* w : {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down})
      EXPECT_FALSE(w->tensor().requires_grad() || w->tensor().grad().defined());
}

TEST_F(IcaeObjectives, Icae09CountsOfSupervisedTokens) {
  const auto total = [](const LossSums& sums) {
    LossSum all;
    for (const auto& [name, sum] : sums) all += sum;
    return all;
  };
  EXPECT_EQ(total(open("ae")->evaluate(std::vector{text(10, 0)}, 1)).tokens, 10 + 1);
  const auto with_bos = open("ae", {{"bos", "on"}})->evaluate(std::vector{text(10, 0)}, 1);
  EXPECT_EQ(with_bos.at("ae").tokens, 11 + 1) << "BOS is the first target";
  // 100 tokens, a window of 12: the continuation is 12 long, no more than min_tokens_for_lm.
  EXPECT_EQ(open("lm", {{"multi_span_share", "0"}})->evaluate(std::vector{text(100, 0)}, 1).at("ae").tokens, 12 + 1);
  const Example triple{{random_text(model_, 30, 1), random_text(model_, 4, 2), random_text(model_, 5, 3)}, 0};
  const LossSums ft = open("ft")->evaluate(std::vector{triple}, 1);
  ASSERT_EQ(ft.size(), 1u);
  EXPECT_EQ(ft.at("ft.multi").tokens, 5 + 1);
  // Nothing to learn from is counted, too.
  Example nothing;
  nothing.parts.resize(1);
  const LossSums empty = open("ae")->evaluate(std::vector{nothing}, 1);
  EXPECT_EQ(empty.at("ae").examples, 1);
  EXPECT_EQ(empty.at("ae").tokens, 0);
}

TEST_F(IcaeObjectives, WrongExamplesAndSettingsAreRefused) {
  const Example triple{{random_text(model_, 30, 1), random_text(model_, 4, 2), random_text(model_, 5, 3)}, 7};
  EXPECT_THROW(open("ae")->evaluate(std::vector{triple}, 1), InputError);
  EXPECT_THROW(open("ft")->evaluate(std::vector{text(9, 0)}, 1), InputError);
  EXPECT_THROW(open("xy"), UsageError);
  for (const auto& [name, value] : FieldValues{{"k", "0"},
                                               {"ratio", "0"},
                                               {"rank", "0"},
                                               {"dropout", "1"},
                                               {"lm_ratio", "2"},
                                               {"multi_span_share", "-1"},
                                               {"init", "x"},
                                               {"bos", "x"},
                                               {"eos", "no such token"},
                                               {"spans", "x"},
                                               {"storage", "x"},
                                               {"pass_tokens", "0"},
                                               {"window", "1"},
                                               {"adapter", "/no/such/folder"}})
    EXPECT_THROW(open("ae", {{name, value}}), UsageError) << name;
}

// Sums of gradients and losses do not depend on how a batch is cut: accumulation steps, ranks, passes.
TEST_F(IcaeObjectives, Icae12TokenAverageDoesNotDependOnTheCut) {
  std::vector<Example> batch;
  for (uint64_t i = 0; i < 8; ++i) batch.push_back(text(5 + 13 * static_cast<int64_t>(i), i));
  const auto gradients = [&](const FieldValues& values, size_t piece) {
    FieldValues all = {
        {"lm_ratio", "0.5"}, {"multi_span_share", "0.5"}, {"min_tokens_for_lm", "3"}, {"leave_tokens_for_lm", "1"}};
    for (const auto& [name, value] : values) all[name] = value;
    const auto objective = open("mix", all);
    for (const Parameter& p : objective->parameters())
      if (p.name.find("lora_B") != std::string::npos) {
        const at::NoGradGuard no_grad;
        at::Tensor(p.value).copy_(test::random_numbers(p.value.sizes(), 3, 0.3));
      }
    zero_gradients(objective->parameters());
    LossSums sums;
    // The last piece first, as another rank may be the quicker one.
    for (size_t end = batch.size(); end > 0; end -= piece)
      for (const auto& [name, sum] : objective->accumulate(std::span(batch).subspan(end - piece, piece), 9))
        sums[name] += sum;
    std::vector<at::Tensor> parts;
    for (const Parameter& p : objective->parameters()) parts.push_back(p.value.grad().flatten());
    return std::pair{at::cat(parts), sums};
  };
  const auto [expected, sums] = gradients({}, 8);
  EXPECT_GE(sums.size(), 3u) << "several objectives and numbers of spans";
  for (const size_t piece : {1, 2, 4}) {
    for (const char* pass : {"1", "100", "4096"}) {
      const auto [got, own] = gradients({{"pass_tokens", pass}}, piece);
      EXPECT_LE(relative_difference(got, expected), 1e-5) << piece << " " << pass;
      ASSERT_EQ(own.size(), sums.size());
      for (const auto& [name, sum] : own) {
        EXPECT_EQ(sum.tokens, sums.at(name).tokens) << name;
        EXPECT_EQ(sum.examples, sums.at(name).examples) << name;
        EXPECT_NEAR(sum.loss, sums.at(name).loss, 1e-5 * sum.loss) << name;
      }
    }
  }
}

// What an example becomes depends on the seed and its number alone.
TEST_F(IcaeObjectives, ChoicesBelongToTheSample) {
  const auto objective = open("mix", {{"multi_span_share", "0.5"}, {"min_tokens_for_lm", "3"}});
  auto& icae = dynamic_cast<IcaeObjective&>(*objective);
  Example example = text(200, 0);
  std::set<std::vector<int64_t>> different;
  for (uint64_t sample = 0; sample < 20; ++sample) {
    example.sample = sample;
    const Layout once = icae.layout(example, 4);
    icae.layout(text(50, 3), 4);
    EXPECT_EQ(icae.layout(example, 4).ids, once.ids);
    different.insert(once.ids);
  }
  EXPECT_GT(different.size(), 15u);
}

TEST_F(IcaeObjectives, SamplesAreWrittenAsText) {
  const auto samples = open("ae")->write_samples(std::vector{text(40, 0)});
  ASSERT_EQ(samples.size(), 1u);
  const auto source = random_text(model_, 40, 100);
  EXPECT_EQ(samples[0].source, model_.tokenizer->decode(std::span(source).first(12), true));
}

}  // namespace
}  // namespace steno::icae
