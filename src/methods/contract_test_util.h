// For tests only: what the files of the contract test share.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "base/files_test_util.h"
#include "methods/learned_test_util.h"
#include "methods/method.h"
#include "methods/method_test_util.h"

namespace steno::test {

inline constexpr int64_t kBudget = 12;  // far below kTokens
inline constexpr int64_t kTokens = 60;

struct ContractCase {
  const Method* method;
  std::string model;
  at::ScalarType dtype;
};

// The positions that some layer and head still holds.
inline std::set<int64_t> represented(const Stream& stream, const ModelConfig& config) {
  std::set<int64_t> all;
  for (int64_t layer = 0; layer < config.layers; ++layer)
    for (int64_t head = 0; head < config.kv_heads; ++head)
      for (const int64_t position : stream.kept_positions(layer, head)) all.insert(position);
  return all;
}

// One suite in two files; contract_test.cpp says for which methods and models.
class Contract : public testing::TestWithParam<ContractCase> {
 protected:
  const Method& method() const { return *GetParam().method; }
  bool exact() const { return GetParam().dtype == at::kFloat; }
  static int64_t budget_of(const Method& method) { return std::max(kBudget, method.smallest_budget() + 4); }
  int64_t budget() const { return budget_of(method()); }
  FieldValues params() const { return learned(method(), GetParam().model); }
  StreamOptions options(int64_t chunk = 16) const {
    return {.budget = budget(), .chunk_size = chunk, .params = params()};
  }
  // A slot may stand for several tokens: what is fed without logits is written span by span.
  bool writes_spans() const {
    if (!method().needs_training()) return false;
    const Model model = load_model(tiny_folder(GetParam().model), {.dtype = at::kFloat});
    return method().open_compressor(model, params()) != nullptr;
  }
  std::unique_ptr<Stream> open(int64_t chunk = 16) const { return open(chunk, budget()); }
  std::unique_ptr<Stream> open(int64_t chunk, int64_t budget) const {
    return method().open_stream(decoder_, {.budget = budget, .chunk_size = chunk, .params = params()});
  }
  std::vector<TokenId> text(int64_t count = kTokens, uint64_t seed = 1) const {
    return random_ids(*decoder_, count, seed);
  }
  std::string file(const std::string& name) const {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    std::string unique = std::string(info->name()) + "_" + name;
    std::replace(unique.begin(), unique.end(), '/', '_');
    return test::program_file(unique + ".safetensors");
  }
  // Everything one can see of a stream without feeding it.
  void expect_same_state(const Stream& a, const Stream& b) const {
    EXPECT_EQ(a.tokens_seen(), b.tokens_seen());
    EXPECT_EQ(a.accounting().slots, b.accounting().slots);
    EXPECT_EQ(a.accounting().dropped_ranges, b.accounting().dropped_ranges);
    EXPECT_EQ(a.accounting().peak_slots, b.accounting().peak_slots);
    for (int64_t layer = 0; layer < decoder_->config().layers; ++layer)
      for (int64_t head = 0; head < decoder_->config().kv_heads; ++head)
        EXPECT_EQ(a.kept_positions(layer, head), b.kept_positions(layer, head));
  }

  std::shared_ptr<const Decoder> decoder_ = tiny_decoder(GetParam().model, GetParam().dtype);
};

}  // namespace steno::test
