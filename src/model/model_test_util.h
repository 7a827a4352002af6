// For tests only: the tiny models of tests/data, comparison, rows to read from.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "base/files_test_util.h"
#include "base/random.h"
#include "model/decoder.h"
#include "model/loader.h"

namespace steno::test {

inline std::filesystem::path tiny_folder(const std::string& name) {
  return std::filesystem::path(STENO_SOURCE_DIR) / "tests/data/tiny_models" / name;
}

// Every file of a tiny model as a link of the same name.
inline void link_tiny(const TemporaryFolder& folder, const std::string& name) {
  for (const auto& entry : std::filesystem::directory_iterator(tiny_folder(name)))
    std::filesystem::create_symlink(entry.path(), folder.path() / entry.path().filename());
}

inline std::vector<std::string> tiny_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(tiny_folder("")))
    if (entry.is_directory()) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

inline std::shared_ptr<const Decoder> tiny_decoder(const std::string& name, at::ScalarType dtype = at::kFloat) {
  return load_decoder(tiny_folder(name), {.dtype = dtype});
}

// Largest difference, as a share of the largest |expected|. NaN on either side only gives infinity.
inline double difference(const at::Tensor& actual, const at::Tensor& expected) {
  EXPECT_EQ(actual.sizes(), expected.sizes());
  if (actual.sizes() != expected.sizes()) return INFINITY;
  if (expected.numel() == 0) return 0;
  const at::Tensor a = actual.to(at::kDouble), e = expected.to(at::kDouble);
  const double largest = (a - e).abs().max().item<double>();
  const double scale = e.abs().max().item<double>();
  return std::isnan(largest) ? INFINITY : scale > 0 ? largest / scale : largest;
}

inline at::Tensor as_ids(const std::vector<int64_t>& ids) { return at::tensor(ids, at::kLong).unsqueeze(0); }

// (Designated initialisers of Input draw false warnings from GCC 12.)
inline Input input_of(at::Tensor ids, LogitRows logits = LogitRows::all) {
  Input in;
  in.ids = std::move(ids);
  in.logits = logits;
  return in;
}

// Uniform ids below `vocab`, the same for the same seed.
inline at::Tensor random_ids(int64_t batch, int64_t steps, int64_t vocab, uint64_t seed) {
  Random random(seed);
  const at::Tensor ids = at::empty({batch, steps}, at::kLong);
  for (int64_t i = 0; i < ids.numel(); ++i)
    ids.mutable_data_ptr<int64_t>()[i] = static_cast<int64_t>(random.below(static_cast<uint64_t>(vocab)));
  return ids;
}

// Roughly normal numbers, the same for the same seed.
inline at::Tensor random_tensor(at::IntArrayRef shape, uint64_t seed, double scale = 1) {
  Random random(seed);
  const at::Tensor values = at::empty(shape, at::kFloat);
  float* data = values.mutable_data_ptr<float>();
  for (int64_t i = 0; i < values.numel(); ++i) {
    double sum = -6;
    for (int j = 0; j < 12; ++j) sum += random.uniform();
    data[i] = static_cast<float>(sum * scale);
  }
  return values;
}

// Empty rows of every layer, to be written in place. What is not written is NaN, so that reading it is noticed.
inline std::vector<LayerRows> rows_in_place(const Decoder& decoder, int64_t capacity, int64_t batch = 1) {
  const ModelConfig& c = decoder.config();
  std::vector<LayerRows> rows(static_cast<size_t>(c.layers));
  for (LayerRows& r : rows) {
    r.k = at::full({batch, c.kv_heads, capacity, c.d_h}, NAN, at::TensorOptions(decoder.compute_dtype()));
    r.v = r.k.clone();
    r.in_place = true;
  }
  return rows;
}

}  // namespace steno::test
