// icae, section 11: test 17.
#include "methods/icae/adapter.h"

#include <gtest/gtest.h>


#include "io/safetensors.h"
#include "methods/icae/icae.h"
#include "methods/icae/icae_test_util.h"

namespace steno::icae {
namespace {

namespace fs = std::filesystem;
using test::same_bits;

class Icae17Adapter : public testing::Test {
 protected:
  Icae17Adapter() {
    adapter_.settings.before = "5 6";
    save_adapter(adapter_, path(), at::kFloat, {{"steps", 3}});
  }
  fs::path path() const { return folder_.path() / "adapter"; }
  template <class E>
  void expect_refused(const Model& model, const std::vector<std::string>& words) const {
    try {
      load_adapter(path(), *model.decoder, &model);
      ADD_FAILURE() << "loaded";
    } catch (const E& error) {
      const std::string line = error.what();
      EXPECT_EQ(line.find('\n'), std::string::npos);
      for (const std::string& word : words) EXPECT_NE(line.find(word), std::string::npos) << line;
    }
  }
  // The table's file with something changed.
  void rewrite(const std::function<void(std::vector<std::pair<std::string, at::Tensor>>&,
                                        std::map<std::string, std::string>&)>& change) const {
    std::vector<std::pair<std::string, at::Tensor>> tensors;
    auto file = SafetensorsFile::open(path() / "icae.safetensors");
    for (const auto& entry : file->entries()) tensors.emplace_back(entry.name, file->tensor(entry.name).clone());
    auto metadata = file->metadata();
    change(tensors, metadata);
    write_safetensors(path() / "icae.safetensors", tensors, metadata);
  }

  test::TemporaryFolder folder_;
  Model model_ = test::tiny_model("llama_tied");
  Adapter adapter_ = test::random_adapter(model_);
};

TEST_F(Icae17Adapter, OnlyTrainablesAreStoredAndTheOutputIsBitEqual) {
  const Adapter loaded = load_adapter(path(), *model_.decoder, &model_);
  const auto text = test::random_text(model_, 30, 1);
  EXPECT_TRUE(same_bits(test::slots_of(model_, loaded, text), test::slots_of(model_, adapter_, text)));
  EXPECT_EQ(loaded.hash(), adapter_.hash());
  EXPECT_EQ(field_values(loaded.settings), field_values(adapter_.settings));
  const auto before = adapter_.named_parameters(), after = loaded.named_parameters();
  ASSERT_EQ(after.size(), before.size());
  size_t stored = 0;
  for (const char* name : {"adapter_model.safetensors", "icae.safetensors"})
    stored += SafetensorsFile::open(path() / name)->entries().size();
  EXPECT_EQ(stored, before.size());
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(after[i].first, before[i].first);
    EXPECT_TRUE(same_bits(after[i].second, before[i].second)) << before[i].first;
  }
  EXPECT_EQ(SafetensorsFile::open(path() / "icae.safetensors")->metadata().at("provenance"), R"({"steps":3})");
}

TEST_F(Icae17Adapter, AMemoryHeadIsStoredToo) {
  Settings settings = test::small_settings();
  settings.memory_head = true;
  const Adapter with_head = test::random_adapter(model_, settings);
  save_adapter(with_head, path(), at::kFloat, {});
  const Adapter loaded = load_adapter(path(), *model_.decoder, &model_);
  const auto text = test::random_text(model_, 12, 1);
  EXPECT_TRUE(same_bits(test::slots_of(model_, loaded, text), test::slots_of(model_, with_head, text)));
  EXPECT_GT(test::relative_difference(test::slots_of(model_, adapter_, text), test::slots_of(model_, with_head, text)),
            0.1);
}

TEST_F(Icae17Adapter, Bf16HalvesTheFilesAndRoundsOnce) {
  save_adapter(adapter_, path(), at::kBFloat16, {});
  const Adapter loaded = load_adapter(path(), *model_.decoder, &model_);
  for (const auto& [name, value] : loaded.named_parameters()) EXPECT_EQ(value.scalar_type(), at::kFloat) << name;
  EXPECT_TRUE(same_bits(loaded.embeddings, adapter_.embeddings.to(at::kBFloat16).to(at::kFloat)));
  const std::string hash = loaded.hash();
  save_adapter(loaded, path(), at::kBFloat16, {});
  EXPECT_EQ(load_adapter(path(), *model_.decoder, &model_).hash(), hash);
}

TEST_F(Icae17Adapter, AnotherBaseIsRefusedWithBothNames) {
  for (const char* name : {"llama_rope_linear", "llama_bias", "qwen3", "gemma3"}) {
    const Model other = test::tiny_model(name);
    expect_refused<InputError>(other, {model_.name, other.name});
    // By the weights that are loaded as well, where no file is known.
    EXPECT_THROW(load_adapter(path(), *other.decoder, nullptr), InputError) << name;
  }
  EXPECT_NO_THROW(load_adapter(path(), *model_.decoder, nullptr));
  // The same weights in another compute type are the same model.
  const Model rounded = test::tiny_model("llama_tied", at::kBFloat16);
  EXPECT_NO_THROW(load_adapter(path(), *rounded.decoder, &rounded));
}

TEST_F(Icae17Adapter, DamagedFoldersAreRefused) {
  rewrite([](auto& tensors, auto&) { tensors[0].first = "embedding"; });
  expect_refused<InputError>(model_, {"'embeddings' is missing"});
  save_adapter(adapter_, path(), at::kFloat, {});
  rewrite([](auto& tensors, auto&) { tensors.emplace_back("more", at::zeros({2})); });
  expect_refused<InputError>(model_, {"'more'"});
  save_adapter(adapter_, path(), at::kFloat, {});
  rewrite([](auto& tensors, auto&) { tensors[0].second = tensors[0].second.narrow(0, 0, 5); });
  expect_refused<InputError>(model_, {"[5, 32]", "[6, 32]"});
  save_adapter(adapter_, path(), at::kFloat, {});
  for (const char* name : {"format", "method_version", "setting.k", "base_name", "lora_hash"}) {
    rewrite([&](auto&, auto& metadata) { metadata.erase(name); });
    expect_refused<InputError>(model_, {name});
    save_adapter(adapter_, path(), at::kFloat, {});
  }
  for (const auto& [name, value] : FieldValues{{"setting.k", "0"},
                                               {"setting.ratio", "x"},
                                               {"setting.before", "a"},
                                               {"setting.none", "1"},
                                               {"method_version", "99"}}) {
    rewrite([&](auto&, auto& metadata) { metadata[name] = value; });
    expect_refused<InputError>(model_, {"icae.safetensors"});
    save_adapter(adapter_, path(), at::kFloat, {});
  }
  // LoRA of one save beside the table of another.
  save_adapter(test::random_adapter(model_, adapter_.settings, 9), folder_.path() / "other", at::kFloat, {});
  fs::copy_file(folder_.path() / "other/adapter_model.safetensors", path() / "adapter_model.safetensors",
                fs::copy_options::overwrite_existing);
  expect_refused<InputError>(model_, {"different saves"});
  fs::remove(path() / "icae.safetensors");
  expect_refused<InputError>(model_, {"no icae.safetensors"});
  fs::remove_all(path());
  expect_refused<UsageError>(model_, {"no such folder"});
}

TEST_F(Icae17Adapter, FreshTablesLookLikeTheModelsEmbeddings) {
  const Settings settings = test::small_settings(400, 2);
  const at::Tensor own = model_.decoder->embed(at::arange(104, at::kLong).unsqueeze(0))[0];
  const at::Tensor like = create_adapter(model_, settings, {}, TableInit::embedding, 3).embeddings;
  EXPECT_LE((like.mean(0) - own.mean(0)).abs().max().item<double>(), 0.3 * own.std().item<double>());
  EXPECT_NEAR((like.std(0) / own.std(0, false)).mean().item<double>(), 1, 0.1);
  const at::Tensor wide = create_adapter(model_, settings, {}, TableInit::normal, 3).embeddings;
  EXPECT_NEAR(wide.std().item<double>(), 1, 0.05);
  EXPECT_NEAR(wide.mean().item<double>(), 0, 0.05);
  EXPECT_FALSE(same_bits(wide, create_adapter(model_, settings, {}, TableInit::normal, 4).embeddings));
}

}  // namespace
}  // namespace steno::icae
