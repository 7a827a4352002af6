#include "cli/inspection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/files_test_util.h"

namespace steno {
namespace {

using test::TemporaryFolder;
namespace fs = std::filesystem;
using testing::HasSubstr;
const fs::path kTiny = fs::path(STENO_SOURCE_DIR) / "tests/data/tiny_models";

TEST(Inspection, LayersOfOneShapeShareARow) {
  const std::vector<TensorInfo> tensors = {
      {"token_embd.weight", "Q8_0", {100, 8}, 800, true}, {"blk.0.attn_q.weight", "Q4_1", {8, 8}, 40, true},
      {"blk.0.ffn_up.weight", "Q4_1", {16, 8}, 80, true}, {"blk.1.attn_q.weight", "Q4_1", {8, 8}, 40, true},
      {"blk.1.ffn_up.weight", "Q6_K", {16, 8}, 99, true}, {"blk.2.attn_q.weight", "Q4_1", {8, 8}, 40, true}};
  std::vector<std::string> names;
  for (const TensorGroup& group : group_layers(tensors)) names.push_back(group.name);
  EXPECT_THAT(names, testing::ElementsAre("token_embd.weight", "blk.{0..2}.attn_q.weight", "blk.0.ffn_up.weight",
                                          "blk.1.ffn_up.weight"));
  EXPECT_EQ(group_layers(tensors)[1].bytes, 120);
}

TEST(Inspection, FolderThatRunsAndItsGgufAgree) {
  const Inspection folder = inspect_path(kTiny / "llama_tied");
  const Inspection gguf = inspect_path(kTiny / "llama_tied/model.gguf");
  EXPECT_TRUE(folder.runs) << testing::PrintToString(folder.cannot);
  EXPECT_TRUE(gguf.runs) << testing::PrintToString(gguf.cannot);
  EXPECT_EQ(inspection_json(folder)["parameters"], inspection_json(gguf)["parameters"]);
  EXPECT_EQ(folder.config->layers, gguf.config->layers);
  EXPECT_EQ(folder.tokenizer->vocab, gguf.tokenizer->vocab);
}

TEST(Inspection, PartsOfAModelSayWhatIsMissing) {
  const Inspection weights = inspect_path(kTiny / "llama_tied/model.safetensors");
  EXPECT_FALSE(weights.runs);
  EXPECT_THAT(weights.cannot, testing::Contains(HasSubstr("name the folder")));
  EXPECT_FALSE(weights.tensors.empty());
  const Inspection tokenizer = inspect_path(kTiny / "llama_tied/tokenizer.json");
  EXPECT_FALSE(tokenizer.runs);
  EXPECT_THAT(tokenizer.can, testing::Contains("tokenize texts"));
}

TEST(Inspection, UnsupportedArchitectureIsAReasonAndNoError) {
  const TemporaryFolder folder;
  folder.file("config.json", R"({"model_type": "mamba", "architectures": ["MambaForCausalLM"]})");
  const Inspection inspection = inspect_path(folder.path());
  EXPECT_FALSE(inspection.runs);
  EXPECT_THAT(inspection.cannot, testing::Contains(HasSubstr("mamba")));
}

TEST(Inspection, TextAndJsonTellTheSame) {
  const Inspection inspection = inspect_path(kTiny / "qwen3/model.gguf");
  const std::string text = inspection_text(inspection, true);
  const Json json = inspection_json(inspection);
  EXPECT_THAT(text, HasSubstr(json["architecture"]["family"].get<std::string>()));
  for (const Json& tensor : json["tensors"]) EXPECT_THAT(text, HasSubstr(tensor["name"].get<std::string>()));
  EXPECT_EQ(json["runs"], true);
}

TEST(Inspection, OtherFilesAreRefused) {
  const TemporaryFolder folder;
  EXPECT_THROW(inspect_path(folder.path() / "none"), InputError);
  EXPECT_THROW(inspect_path(folder.path()), InputError);
  EXPECT_THROW(inspect_path(folder.file("notes.txt", "hello")), InputError);
  EXPECT_THROW(inspect_path(folder.file("model.gguf", "GGUF")), InputError);
}

}  // namespace
}  // namespace steno
