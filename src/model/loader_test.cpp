// What load_decoder and load_model refuse, and how they say it.
#include "model/loader.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/gguf.h"
#include "io/mutate_test_util.h"
#include "io/safetensors.h"
#include "model/model_test_util.h"

namespace steno {
namespace {

using namespace test;
using nlohmann::json;
namespace fs = std::filesystem;

const LoadOptions kF32{.dtype = at::kFloat};

// The one line of a refusal; "" when the model is accepted.
std::string refusal(const fs::path& path, const LoadOptions& options = kF32) {
  try {
    load_decoder(path, options);
    return "";
  } catch (const InputError& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
}

void expect_refusal(const fs::path& path, const std::vector<std::string>& parts) {
  const std::string message = refusal(path);
  EXPECT_FALSE(message.empty()) << "accepted";
  for (const std::string& part : parts)
    EXPECT_NE(message.find(part), std::string::npos) << "'" << part << "' in: " << message;
}

// A copy of a tiny model's folder with changes to config.json and to the tensors.
class ChangedFolder {
 public:
  explicit ChangedFolder(const std::string& name) : name_(name) {
    config = json::parse(read_bytes(tiny_folder(name) / "config.json"));
    const auto file = SafetensorsFile::open(tiny_folder(name) / "model.safetensors");
    for (const auto& entry : file->entries()) tensors[entry.name] = file->tensor(entry.name);
  }
  const fs::path& write() const {
    folder_.file("config.json", config.dump());
    write_safetensors(folder_.path() / "model.safetensors", {tensors.begin(), tensors.end()});
    return folder_.path();
  }
  json config;
  std::map<std::string, at::Tensor> tensors;

 private:
  std::string name_;
  TemporaryFolder folder_;
};

TEST(Loader, AbsentOrOfAnotherKind) {
  const TemporaryFolder folder;
  expect_refusal(folder.path() / "nothing.gguf", {"nothing.gguf", "not found"});
  expect_refusal(folder.path(), {folder.path().string(), "config.json"});
  expect_refusal(folder.file("model.txt", "text"), {"model.txt", "neither"});
  expect_refusal(folder.file("empty.gguf", ""), {"empty.gguf"});
  folder.file("config.json", read_bytes(tiny_folder("qwen3") / "config.json"));
  expect_refusal(folder.path(), {folder.path().string(), "model.safetensors"});
}

TEST(Loader, DevicesAndTypes) {
  EXPECT_THROW(load_decoder(tiny_folder("qwen3"), {.dtype = at::kHalf}), UsageError);
  EXPECT_THROW(load_decoder(tiny_folder("qwen3"), {.device = at::Device(at::kCUDA, 99)}), ResourceError);
}

TEST(Loader, MissingTensorsAreNamed) {
  const auto names = ChangedFolder("llama_tied").tensors;
  ASSERT_GT(names.size(), 15u);
  for (const auto& [name, tensor] : names) {
    ChangedFolder changed("llama_tied");
    changed.tensors.erase(name);
    expect_refusal(changed.write(), {"[safetensors]", "model.safetensors", name, "missing"});
  }
}

TEST(Loader, WrongShapesAreNamed) {
  for (const auto& [name, tensor] : ChangedFolder("qwen3").tensors) {
    ChangedFolder changed("qwen3");
    changed.tensors[name] = at::cat({tensor, tensor}, 0);
    const std::string shape = fmt::format("{}", 2 * tensor.size(0));
    // An embedding with more rows than vocab_size says is as wrong as any other.
    expect_refusal(changed.write(), {"model.safetensors", name, shape, fmt::format("{}", tensor.size(0))});
  }
  ChangedFolder integers("qwen3");
  at::Tensor& weight = integers.tensors["model.norm.weight"];
  weight = weight.to(at::kInt);
  expect_refusal(integers.write(), {"model.norm.weight", "Int"});
}

TEST(Loader, UnsupportedModelsAreNamed) {
  const std::tuple<const char*, json, const char*> wrong[] = {
      {"model_type", "gpt2", "gpt2"},
      {"model_type", 5, "model_type"},
      {"model_type", nullptr, "model_type"},
      {"num_hidden_layers", 0, "num_hidden_layers"},
      {"num_hidden_layers", "2", "num_hidden_layers"},
      {"num_hidden_layers", 2.5, "num_hidden_layers"},
      {"num_hidden_layers", 1e300, "num_hidden_layers"},
      {"num_hidden_layers", uint64_t{1} << 63, "num_hidden_layers"},
      {"num_hidden_layers", 2000000000, "num_hidden_layers"},
      {"hidden_size", -32, "hidden_size"},
      {"hidden_size", json::array(), "hidden_size"},
      {"num_attention_heads", 3, "heads"},
      {"num_key_value_heads", true, "num_key_value_heads"},
      {"head_dim", 7, "7"},
      {"head_dim", int64_t{1} << 62, "head_dim"},
      {"head_dim", -2, "head_dim"},
      {"vocab_size", nullptr, "vocab_size"},
      {"rms_norm_eps", "small", "rms_norm_eps"},
      {"rms_norm_eps", -1, "rms_norm_eps"},
      {"tie_word_embeddings", 1, "tie_word_embeddings"},
      {"hidden_act", "relu", "relu"},
      {"hidden_act", 3, "hidden_act"},
      {"rope_parameters", 3, "rope_parameters"},
      {"rope_parameters", {{"rope_type", "longrope"}}, "longrope"},
      {"rope_parameters", {{"rope_type", "linear"}, {"factor", 0}}, "factor"},
      {"rope_parameters", {{"rope_theta", -1}}, "rope_theta"},
      {"rope_parameters", {{"rope_theta", "x"}}, "rope_theta"},
      {"rope_parameters", {{"rope_type", "llama3"}, {"factor", 8}}, "low_freq_factor"},
      {"rope_parameters",
       {{"rope_type", "yarn"}, {"original_max_position_embeddings", 0}},
       "original_max_position_embeddings"},
      {"rope_parameters", {{"partial_rotary_factor", 0.5}}, "partial_rotary_factor"},
      {"max_position_embeddings", 0, "max_position_embeddings"},
  };
  for (const auto& [key, value, named] : wrong) {
    SCOPED_TRACE(fmt::format("{} = {}", key, value.dump()));
    ChangedFolder changed("llama_rope_linear");
    changed.config[key] = value;
    expect_refusal(changed.write(), {"config.json", named});
  }
  const std::pair<const char*, json> windows[] = {
      {"sliding_window", -1},
      {"sliding_window", "wide"},
      {"layer_types", {"full_attention"}},
      {"layer_types", {"full_attention", "chunked_attention", "full_attention"}},
      {"final_logit_softcapping", 30.0},
      {"query_pre_attn_scalar", 0}};
  for (const auto& [key, value] : windows) {
    ChangedFolder changed("gemma3_scaled");
    changed.config[key] = value;
    expect_refusal(changed.write(), {"config.json", key});
  }
}

TEST(Loader, ConfigThatIsNoObject) {
  for (const char* text : {"", "[]", "7", "{", "{\"model_type\": \"llama\",}", "\xFF\xFE"}) {
    const TemporaryFolder folder;
    link_tiny(folder, "llama_tied");
    fs::remove(folder.path() / "config.json");
    folder.file("config.json", text);
    expect_refusal(folder.path(), {"config.json"});
  }
}

// Bytes of a tensor inside a GGUF file.
std::pair<size_t, size_t> tensor_place(const std::string& bytes, const std::string& name) {
  const auto mapped = MappedFile::from_bytes("model.gguf", bytes);
  const auto file = GgufFile::parse(mapped);
  const GgufTensor* tensor = file->find_tensor(name);
  return {static_cast<size_t>(tensor->data.data() - mapped->bytes().data()), tensor->data.size()};
}

TEST(Loader, NanInAGgufTensorIsNamedWithItsFile) {
  const std::string original = read_bytes(tiny_folder("llama_tied") / "model.gguf");
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::string bytes = original;
    const auto [at, size] = tensor_place(bytes, "blk.1.ffn_up.weight");
    std::memcpy(bytes.data() + at + size / 8 * 4, &bad, sizeof bad);
    const TemporaryFolder folder;
    expect_refusal(folder.file("damaged.gguf", bytes),
                   {"[gguf] ", "damaged.gguf: tensor 'blk.1.ffn_up.weight'", "NaN"});
  }
}

// The default model's own kind of damage: the scale of one block of a quantised tensor.
TEST(Loader, NanScaleOfAQuantisedTensor) {
  // token_embd.weight of a tiny GGUF, rewritten as Q8_0: [vocab, 32] is one block of 34 bytes per row.
  const std::string original = read_bytes(tiny_folder("qwen2") / "model.gguf");
  std::string bytes = original;
  const auto [at, size] = tensor_place(bytes, "token_embd.weight");
  // The type stands after the name, the number of dimensions and two sizes.
  const size_t info = bytes.find("token_embd.weight") + std::strlen("token_embd.weight") + 4 + 16;
  const auto type = static_cast<uint32_t>(GgmlType::Q8_0);
  std::memcpy(bytes.data() + info, &type, sizeof type);
  for (size_t row = 0; row < size / 128; ++row) {
    bytes[at + row * 34] = 0x00;
    bytes[at + row * 34 + 1] = 0x20;  // f16 2^-7
  }
  const TemporaryFolder folder;
  EXPECT_EQ(refusal(folder.file("fine.gguf", bytes)), "");
  bytes[at + 3 * 34 + 1] = 0x7E;  // f16 NaN
  expect_refusal(folder.file("damaged.gguf", bytes), {"damaged.gguf: tensor 'token_embd.weight'", "block 3", "Q8_0"});
}

TEST(Loader, GgufWithoutATensorOrWithAnotherArchitecture) {
  const std::string original = read_bytes(tiny_folder("llama_tied") / "model.gguf");
  const TemporaryFolder folder;
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string bytes = original;
    const size_t at = bytes.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    bytes.replace(at, from.size(), to);
    return folder.file("changed.gguf", bytes);
  };
  expect_refusal(with("blk.1.attn_q.weight", "blk.1.attn_x.weight"),
                 {"changed.gguf", "blk.1.attn_q.weight", "missing"});
  expect_refusal(with("output_norm.weight", "output_nose.weight"), {"changed.gguf", "output_norm.weight"});
  expect_refusal(with("token_embd.weight", "token_embe.weight"), {"changed.gguf", "token_embd.weight"});
  expect_refusal(with("llama.block_count", "llama.block_cuont"), {"changed.gguf", "llama.block_count"});
  // The first "llama" in the file is the value of general.architecture.
  expect_refusal(with("llama", "lamma"), {"changed.gguf", "lamma", "supported"});
  expect_refusal(folder.file("half.gguf", original.substr(0, original.size() / 2)), {"half.gguf"});
}

TEST(Loader, ModelsWithTokenizers) {
  const Model model = load_model(tiny_folder("qwen3"), kF32);
  EXPECT_EQ(model.tokenizer->vocab_size(), model.decoder->config().vocab);
  EXPECT_EQ(model.weight_format, "F32");
  EXPECT_EQ(model.name, "qwen3");
  EXPECT_EQ(model.path, tiny_folder("qwen3"));
  EXPECT_EQ(load_model(tiny_folder("llama_tied") / "model.gguf", kF32).decoder->config().vocab, 104);
  const TemporaryFolder folder;
  link_tiny(folder, "qwen3");
  fs::remove(folder.path() / "tokenizer.json");
  EXPECT_THROW(load_model(folder.path(), kF32), InputError);
}

// Widths other than the compute dtype's are converted, quantised ones are kept unless told otherwise.
TEST(Loader, StoredWidths) {
  ChangedFolder changed("llama_tied");
  for (auto& [name, tensor] : changed.tensors) tensor = tensor.to(at::kBFloat16).to(at::kFloat);
  const at::Tensor ids = random_ids(1, 9, 100, 1);
  const at::Tensor expected = load_decoder(changed.write(), kF32)->run(input_of(ids)).logits;
  for (const auto dtype : {at::kBFloat16, at::kHalf}) {
    for (auto& [name, tensor] : changed.tensors) tensor = tensor.to(dtype);
    EXPECT_LE(difference(load_decoder(changed.write(), kF32)->run(input_of(ids)).logits, expected), 1e-6);
    for (auto& [name, tensor] : changed.tensors) tensor = tensor.to(at::kFloat);
  }
}

void use(const fs::path& path) {
  const auto decoder = load_decoder(path, kF32);
  decoder->run(input_of(at::zeros({1, 3}, at::kLong)));
}

TEST(LoaderMutation, ConfigJson) {
  for (const char* name : {"llama_rope_yarn", "gemma3_scaled"}) {
    for (const char* form : {"config.json", "config_v4.json"}) {
      const TemporaryFolder folder;
      link_tiny(folder, name);
      fs::remove(folder.path() / "config.json");
      const MutationCounts counts =
          check_mutations(read_bytes(tiny_folder(name) / form), 1000, 1, [&](const std::string& bytes) {
            folder.file("config.json", bytes);
            use(folder.path());
          });
      EXPECT_GT(counts.accepted, 20) << name;
      EXPECT_GT(counts.refused, 1000) << name;
    }
  }
}

// Metadata and tensor table are damaged; the weights behind them stay, so that some results are loaded and run.
TEST(LoaderMutation, GgufHeader) {
  for (const char* name : {"llama_rope_yarn", "gemma3", "phi3"}) {
    const std::string bytes = read_bytes(tiny_folder(name) / "model.gguf");
    size_t header = bytes.size();
    const auto mapped = MappedFile::from_bytes("model.gguf", bytes);
    const auto parsed = GgufFile::parse(mapped);
    for (const GgufTensor& tensor : parsed->tensors())
      header = std::min(header, static_cast<size_t>(tensor.data.data() - mapped->bytes().data()));
    const TemporaryFolder folder;
    Mutator mutator(2);
    int accepted = 0, refused = 0;
    for (int i = 0; i < 2500; ++i) {
      std::string head = mutator(bytes.substr(0, header));
      head.resize(header);  // so that the tensors stay where they are
      const fs::path path = folder.file("mutated.gguf", head + bytes.substr(header));
      try {
        use(path);
        ++accepted;
      } catch (const Error& error) {
        ++refused;
        EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      } catch (const std::exception& error) {
        ADD_FAILURE() << name << ", mutation " << i << ": " << error.what();
      }
    }
    EXPECT_GT(accepted, 20) << name;
    EXPECT_GT(refused, 100) << name;
  }
}

}  // namespace
}  // namespace steno
