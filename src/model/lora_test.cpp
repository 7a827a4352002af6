#include "model/lora.h"

#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/safetensors.h"
#include "model/model_test_util.h"
#include "model/quantised_test_util.h"

namespace steno {
namespace {

using namespace test;
using nlohmann::json;
namespace fs = std::filesystem;

fs::path adapter_folder(const std::string& name) { return fs::path(STENO_SOURCE_DIR) / "tests/data/lora" / name; }

const std::vector<Target> kAll = {Target::q, Target::k, Target::v, Target::o, Target::gate, Target::up, Target::down};

AdapterSet random_adapters(const ModelConfig& model, const LoraConfig& config, uint64_t seed = 1) {
  const AdapterSet set = AdapterSet::create(model, config, seed);
  for (const auto& [name, tensor] : set.named_parameters())
    at::Tensor(tensor).copy_(random_tensor(tensor.sizes(), ++seed, 0.3));
  return set;
}

at::Tensor logits_with(const Decoder& decoder, const at::Tensor& ids, const AdapterSet* adapters) {
  Input in = input_of(ids);
  in.adapters = adapters;
  return decoder.run(in).logits;
}

class Lora : public testing::Test {
 protected:
  at::NoGradGuard no_grad_;
  std::shared_ptr<const Decoder> base_ = tiny_decoder("qwen2");
  const ModelConfig& model_ = base_->config();
};

TEST_F(Lora, AdaptersOfPeftGiveItsLogits) {
  for (const char* name : {"plain", "rslora"}) {
    const AdapterSet set = AdapterSet::load(adapter_folder(name), model_);
    const auto golden = SafetensorsFile::open(adapter_folder(name) / "golden.safetensors");
    const at::Tensor ids = golden->tensor("ids").unsqueeze(0), expected = golden->tensor("logits");
    EXPECT_LE(difference(logits_with(*base_, ids, &set)[0], expected), 1e-5) << name;
    EXPECT_LE(difference(logits_with(base_->merged(set), ids, nullptr)[0], expected), 1e-5) << name;
    EXPECT_GT(difference(logits_with(*base_, ids, nullptr)[0], expected), 0.1) << name;
    const json config = json::parse(read_bytes(adapter_folder(name) / "adapter_config.json"));
    EXPECT_EQ(set.config().rank, config["r"]);
    EXPECT_EQ(set.config().alpha, config["lora_alpha"]);
    EXPECT_EQ(set.config().rank_stabilized, config["use_rslora"]);
    EXPECT_EQ(set.config().targets.size(), config["target_modules"].size());
  }
}

TEST_F(Lora, Scaling) {
  EXPECT_DOUBLE_EQ((LoraConfig{.rank = 4, .alpha = 6}).scaling(), 1.5);
  EXPECT_DOUBLE_EQ((LoraConfig{.rank = 4, .alpha = 6, .rank_stabilized = true}).scaling(), 3);
}

TEST_F(Lora, ANewSetChangesNothing) {
  const AdapterSet set = AdapterSet::create(model_, {.rank = 5, .targets = kAll}, 3);
  const at::Tensor ids = random_ids(2, 9, 100, 1);
  EXPECT_TRUE(at::equal(logits_with(*base_, ids, &set), logits_with(*base_, ids, nullptr)));
  double largest = 0;
  for (const auto& [name, tensor] : set.named_parameters()) {
    EXPECT_FALSE(tensor.requires_grad());
    if (name.ends_with("lora_B.weight")) {
      EXPECT_EQ(tensor.abs().max().item<double>(), 0) << name;
    } else {
      const double bound = 1 / std::sqrt(static_cast<double>(tensor.size(1)));
      EXPECT_LE(tensor.abs().max().item<double>(), bound) << name;
      largest = std::max(largest, tensor.abs().max().item<double>() / bound);
    }
  }
  EXPECT_GT(largest, 0.98);
  EXPECT_TRUE(at::equal(AdapterSet::create(model_, {}, 3).pair(1, Target::v).a,
                        AdapterSet::create(model_, {}, 3).pair(1, Target::v).a));
  EXPECT_FALSE(at::equal(AdapterSet::create(model_, {}, 3).pair(1, Target::v).a,
                         AdapterSet::create(model_, {}, 4).pair(1, Target::v).a));
}

// Saved where make_lora.py --check finds it (build/<preset>/lora_saved), so that PEFT can be asked too.
TEST_F(Lora, SavesInPeftsLayout) {
  const fs::path folder = fs::path(STENO_BINARY_DIR) / "lora_saved";
  fs::remove_all(folder);
  const AdapterSet set =
      random_adapters(model_, {.rank = 3, .alpha = 5, .dropout = 0.25, .rank_stabilized = true, .targets = kAll});
  set.save(folder, "tiny_models/qwen2");

  const AdapterSet loaded = AdapterSet::load(folder, model_);
  EXPECT_EQ(loaded.config().rank, 3);
  EXPECT_EQ(loaded.config().alpha, 5);
  EXPECT_EQ(loaded.config().dropout, 0.25);
  EXPECT_TRUE(loaded.config().rank_stabilized);
  EXPECT_EQ(loaded.config().targets, kAll);
  const auto before = set.named_parameters(), after = loaded.named_parameters();
  ASSERT_EQ(before.size(), after.size());
  ASSERT_EQ(before.size(), 2u * 7u * static_cast<size_t>(model_.layers));
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(before[i].first, after[i].first);
    EXPECT_TRUE(at::equal(before[i].second, after[i].second)) << before[i].first;
  }
  // The names and shapes are those of a file that PEFT wrote.
  const auto ours = SafetensorsFile::open(folder / "adapter_model.safetensors");
  const auto theirs = SafetensorsFile::open(adapter_folder("plain") / "adapter_model.safetensors");
  ASSERT_EQ(ours->entries().size(), theirs->entries().size());
  for (const auto& entry : theirs->entries()) EXPECT_TRUE(ours->has(entry.name)) << entry.name;

  const at::Tensor ids = random_ids(1, 20, 100, 2);
  const at::Tensor logits = logits_with(*base_, ids, &set);
  EXPECT_TRUE(at::equal(logits_with(*base_, ids, &loaded), logits));
  write_safetensors(folder / "golden.safetensors", {{"ids", ids[0]}, {"logits", logits[0].contiguous()}});
}

TEST_F(Lora, MergedEqualsUnmerged) {
  for (const char* name : {"llama_bias", "gemma3_scaled", "phi3"}) {
    const auto decoder = tiny_decoder(name);
    const AdapterSet set = random_adapters(decoder->config(), {.rank = 4, .alpha = 2, .targets = kAll});
    const at::Tensor ids = random_ids(2, 12, decoder->config().vocab, 3);
    const at::Tensor plain = logits_with(*decoder, ids, nullptr), adapted = logits_with(*decoder, ids, &set);
    EXPECT_GT(difference(adapted, plain), 0.05) << name;
    EXPECT_LE(difference(logits_with(decoder->merged(set), ids, nullptr), adapted), 1e-5) << name;
    EXPECT_TRUE(at::equal(logits_with(*decoder, ids, nullptr), plain)) << name << ": merging changed the base";
  }
}

TEST_F(Lora, OneBaseServesManySets) {
  const AdapterSet one = random_adapters(model_, {.targets = {Target::q}}, 1),
                   two = random_adapters(model_, {.targets = {Target::down}}, 2);
  const at::Tensor ids = random_ids(1, 8, 100, 4);
  const at::Tensor a = logits_with(*base_, ids, &one), b = logits_with(*base_, ids, &two);
  EXPECT_FALSE(at::equal(a, b));
  EXPECT_TRUE(at::equal(logits_with(*base_, ids, &one), a));
  // Only the targets are copied by a merge.
  const Decoder merged = base_->merged(one);
  EXPECT_TRUE(merged.weights().layers[0].k.tensor().is_same(base_->weights().layers[0].k.tensor()));
  EXPECT_TRUE(merged.weights().embedding.tensor().is_same(base_->weights().embedding.tensor()));
}

TEST_F(Lora, QuantisedBase) {
  DecoderWeights weights = base_->weights();
  for (LayerWeights& l : weights.layers)
    for (LinearWeight* w : {&l.q, &l.gate, &l.o}) *w = random_weight(GgmlType::Q8_0, w->out(), w->in(), 9, 0.3);
  const Decoder quantised(model_, weights, at::kFloat);
  const AdapterSet set = random_adapters(model_, {.rank = 2, .targets = kAll});
  const at::Tensor ids = random_ids(1, 6, 100, 5);
  EXPECT_LE(difference(logits_with(quantised.merged(set), ids, nullptr), logits_with(quantised, ids, &set)), 1e-5);
}

TEST_F(Lora, DropoutOnlyWhileGradientsAreRecorded) {
  const AdapterSet set = random_adapters(model_, {.rank = 4, .dropout = 0.5, .targets = kAll});
  const at::Tensor ids = random_ids(1, 8, 100, 6);
  EXPECT_TRUE(at::equal(logits_with(*base_, ids, &set), logits_with(*base_, ids, &set)));
  const at::AutoGradMode grad(true);
  EXPECT_FALSE(at::equal(logits_with(*base_, ids, &set), logits_with(*base_, ids, &set)));
}

// Loads a copy of the PEFT adapter with changes and returns the message of the refusal.
std::string refusal(const ModelConfig& model, const std::function<void(json&)>& change_config,
                    const std::function<void(std::map<std::string, at::Tensor>&)>& change_tensors = {}) {
  const TemporaryFolder folder;
  json config = json::parse(read_bytes(adapter_folder("plain") / "adapter_config.json"));
  if (change_config) change_config(config);
  folder.file("adapter_config.json", config.dump());
  const auto file = SafetensorsFile::open(adapter_folder("plain") / "adapter_model.safetensors");
  std::map<std::string, at::Tensor> tensors;
  for (const auto& entry : file->entries()) tensors[entry.name] = file->tensor(entry.name);
  if (change_tensors) change_tensors(tensors);
  write_safetensors(folder.path() / "adapter_model.safetensors", {tensors.begin(), tensors.end()});
  try {
    AdapterSet::load(folder.path(), model);
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find(folder.path().string()), std::string::npos) << error.what();
    return error.what();
  }
  return "accepted";
}

TEST_F(Lora, RefusesWhatItDoesNotImplement) {
  EXPECT_EQ(refusal(model_, {}), "accepted");
  const std::pair<const char*, json> wrong[] = {{"use_dora", true},
                                                {"rank_pattern", {{"q_proj", 8}}},
                                                {"alpha_pattern", {{"q_proj", 8}}},
                                                {"bias", "all"},
                                                {"modules_to_save", {"lm_head"}},
                                                {"layers_to_transform", {0}},
                                                {"fan_in_fan_out", true},
                                                {"lora_bias", true},
                                                {"peft_type", "LOHA"},
                                                {"use_qalora", true},
                                                {"layer_replication", {{0, 1}}},
                                                {"target_modules", {"q_proj", "embed_tokens"}},
                                                {"target_modules", "all"},
                                                {"target_modules", json::array()},
                                                {"r", 0},
                                                {"r", -1},
                                                {"r", 4.5},
                                                {"r", "4"},
                                                {"r", true},
                                                {"r", int64_t{1} << 60},
                                                {"lora_alpha", "6"},
                                                {"lora_dropout", 1.5},
                                                {"init_lora_weights", "pissa_niter_4"},
                                                {"init_lora_weights", "olora"},
                                                {"use_rslora", 1}};
  for (const auto& [key, value] : wrong) {
    const std::string message = refusal(model_, [key = key, value = value](json& config) { config[key] = value; });
    EXPECT_NE(message, "accepted") << key << " = " << value;
    const bool names_it = message.find(key) != std::string::npos || message.find("embed_tokens") != std::string::npos;
    EXPECT_TRUE(names_it) << message;
  }
}

TEST_F(Lora, RefusesTensorsThatDoNotFit) {
  const std::string name = "base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight";
  using Tensors = std::map<std::string, at::Tensor>;
  const auto expect = [&](const std::string& part, const std::function<void(Tensors&)>& change) {
    const std::string message = refusal(model_, {}, change);
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  expect(name, [&](Tensors& t) { t.erase(name); });
  expect(name, [&](Tensors& t) { t[name] = t[name].t().contiguous(); });
  expect(name, [&](Tensors& t) { t[name] = at::zeros({16, 5}); });
  expect(name, [&](Tensors& t) { t[name] = t[name].to(at::kInt); });
  expect("1 tensors", [&](Tensors& t) {
    t["base_model.model.model.layers.2.mlp.up_proj.lora_A.weight"] = at::zeros({4, 32});
  });
  // Another rank than the tensors have.
  EXPECT_NE(refusal(model_, [](json& c) { c["r"] = 8; }), "accepted");
  // An adapter of another model.
  EXPECT_THROW(AdapterSet::load(adapter_folder("plain"), tiny_decoder("qwen3")->config()), InputError);
  EXPECT_THROW(AdapterSet::load(adapter_folder("absent"), model_), InputError);
}

TEST_F(Lora, TargetNames) {
  for (const Target target : kAll) EXPECT_EQ(target_named(target_name(target)), target);
  EXPECT_THROW(target_named("qkv_proj"), InputError);
}

}  // namespace
}  // namespace steno
