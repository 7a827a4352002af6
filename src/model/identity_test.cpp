#include "model/identity.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "base/files_test_util.h"

namespace steno {
namespace {

namespace fs = std::filesystem;

fs::path tiny(const std::string& name) { return fs::path(STENO_SOURCE_DIR) / "tests/data/tiny_models" / name; }

// A copy of a tiny model that a test may change.
class IdentityTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::copy(tiny("llama_tied"), folder_, fs::copy_options::recursive);
    original_ = identity_of(load_model(folder_));
  }
  std::string read(const std::string& name) const {
    std::ifstream file(folder_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void write(const std::string& name, const std::string& content) const {
    std::ofstream(folder_ / name, std::ios::binary) << content;
  }
  // Replaces the first `from`; fails when it is not there.
  void change(const std::string& name, const std::string& from, const std::string& to) const {
    std::string text = read(name);
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    write(name, text.replace(at, from.size(), to));
  }
  std::set<std::string> differing() const {
    std::set<std::string> names;
    for (const auto& [name, hash] : identity_of(load_model(folder_)))
      if (original_.at(name) != hash) names.insert(name);
    return names;
  }

  const test::TemporaryFolder temporary_;
  const fs::path folder_ = temporary_.path();
  std::map<std::string, std::string> original_;
};

TEST_F(IdentityTest, IsThreeHashes) {
  ASSERT_EQ(original_.size(), 3u);
  std::set<std::string> values;
  for (const auto& [name, hash] : original_) {
    EXPECT_EQ(hash.size(), 32u) << name;
    values.insert(hash);
  }
  EXPECT_EQ(values.size(), 3u);
  EXPECT_EQ(differing(), std::set<std::string>{});
}

TEST_F(IdentityTest, NamesWhatDiffers) {
  std::string weights = read("model.safetensors");
  weights.back() ^= 1;
  write("model.safetensors", weights);
  EXPECT_EQ(differing(), std::set<std::string>{"model"});
}

TEST_F(IdentityTest, RopeStandsAlone) {
  change("config.json", "\"rope_theta\": 10000.0", "\"rope_theta\": 10001.0");
  EXPECT_EQ(differing(), std::set<std::string>{"rope"});
}

TEST_F(IdentityTest, MergesBelongToTheTokenizer) {
  change("tokenizer.json", "[\"i\",\"n\"],", "");
  EXPECT_EQ(differing(), std::set<std::string>{"tokenizer"});
}

TEST_F(IdentityTest, OtherModelsDiffer) {
  const auto other = identity_of(load_model(tiny("qwen3")));
  EXPECT_NE(other.at("model"), original_.at("model"));
  const auto scaled = identity_of(load_model(tiny("llama_rope_yarn")));
  EXPECT_NE(scaled.at("rope"), original_.at("rope"));
  // The same weights at another place are the same model.
  EXPECT_EQ(identity_of(load_model(tiny("llama_tied"))), original_);
}

}  // namespace
}  // namespace steno
