// Damaged inputs, many thousands: each is read or refused with a steno::Error, and what is read is used.
#include <gtest/gtest.h>

#include "io/gguf.h"
#include "io/gguf_test_util.h"
#include "io/mutate_test_util.h"
#include "io/safetensors.h"
#include "io/safetensors_parse.h"

namespace steno {
namespace {

using test::check_mutations;
using test::GgufBuilder;
using test::MutationCounts;

void expect_both(const MutationCounts& counts) {
  EXPECT_GT(counts.accepted, 100);
  EXPECT_GT(counts.refused, 100);
}

template <class Action>
void tolerate(Action action) {
  try {
    action();
  } catch (const Error&) {
  }
}

// Everything one can ask of a GGUF file.
void use_gguf(const std::string& bytes) {
  const auto file = GgufFile::parse(MappedFile::from_bytes("mutated.gguf", bytes));
  ASSERT_EQ(file->file_bytes(), static_cast<int64_t>(bytes.size()));
  for (const auto& [key, value] : file->metadata()) {
    ASSERT_EQ(file->find(key), &value);
    tolerate([&] { file->get_int(key); });
    tolerate([&] { file->get_float(key); });
    tolerate([&] { file->bool_or(key, true); });
    tolerate([&] { file->get_string(key); });
    tolerate([&] { file->ints_or_empty(key); });
    tolerate([&] { file->floats_or_empty(key); });
    tolerate([&] {
      size_t total = 0;
      for (std::string_view text : file->get_strings(key)) total += std::string(text).size();
      ASSERT_LE(total, bytes.size());
    });
  }
  for (const GgufTensor& tensor : file->tensors()) {
    ASSERT_EQ(file->find_tensor(tensor.name), &tensor);
    tolerate([&] { check_scales(tensor); });
    tolerate([&] {
      ASSERT_EQ(dequantize(tensor, at::kFloat).numel(), tensor.numel());
      ASSERT_EQ(dequantize(tensor, at::kBFloat16).sizes(), at::IntArrayRef(tensor.shape));
    });
  }
}

TEST(Mutation, GgufWithoutTensors) {
  GgufBuilder builder;
  builder.add("general.architecture", "llama").add<uint32_t>("llama.block_count", 2).add<float>("eps", 1e-5f);
  builder.add<bool>("flag", true)
      .add<int64_t>("big", 1)
      .add<uint8_t>("small", 1)
      .add<uint32_t>("general.alignment", 32);
  builder.add_array<std::string>("tokens", {"a", "bc", "", "def"}).add_array<int32_t>("types", {1, 1, 3, 6});
  builder.add_array<float>("scores", {0, -1, -2, -3}).add_array<bool>("bools", {true, false});
  expect_both(check_mutations(builder.build(), 20000, 1, use_gguf));
}

TEST(Mutation, GgufWithTensors) {
  GgufBuilder builder;
  builder.add("general.architecture", "llama").add<uint16_t>("split.count", 1);
  const std::pair<GgmlType, uint64_t> types[] = {
      {GgmlType::F32, 4},    {GgmlType::F16, 8},    {GgmlType::BF16, 8},  {GgmlType::Q4_0, 64},  {GgmlType::Q4_1, 32},
      {GgmlType::Q5_0, 32},  {GgmlType::Q5_1, 32},  {GgmlType::Q8_0, 32}, {GgmlType::Q2_K, 256}, {GgmlType::Q3_K, 256},
      {GgmlType::Q4_K, 256}, {GgmlType::Q5_K, 256}, {GgmlType::Q6_K, 256}};
  Random random(3);
  for (const auto& [type, row] : types) {
    std::string data(ggml_bytes(type, 2 * row), '\0');
    for (char& byte : data) byte = static_cast<char>(random.next());
    builder.tensor(ggml_traits(type).name, type, {row, 2}, data);
  }
  builder.tensor("iq4_nl", 20, {32}, std::string(18, 1)).tensor("unknown", 99, {32}, std::string(18, 1));
  expect_both(check_mutations(builder.build(), 20000, 2, use_gguf));
}

void use_safetensors(const std::string& bytes) {
  const auto file = SafetensorsFile::parse(MappedFile::from_bytes("mutated.safetensors", bytes));
  for (const auto& entry : file->entries()) {
    ASSERT_TRUE(file->has(entry.name));
    tolerate([&] {
      const at::Tensor tensor = file->tensor(entry.name);
      ASSERT_EQ(tensor.nbytes(), entry.data.size());
      if (tensor.numel() > 0) tensor.clone();
    });
  }
}

TEST(Mutation, Safetensors) {
  std::string header = R"({"__metadata__":{"format":"pt","step":"12"},)"
                       R"("a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
                       R"("b.c":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]},)"
                       R"("d":{"dtype":"BOOL","shape":[1,8],"data_offsets":[32,40]},)"
                       R"("empty":{"dtype":"I64","shape":[0,7],"data_offsets":[40,40]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  std::string bytes;
  test::append<uint64_t>(bytes, header.size());
  bytes += header + std::string(40, 1);
  expect_both(check_mutations(bytes, 15000, 4, use_safetensors));
  // Most changes of the length end at once; these leave it true.
  expect_both(check_mutations(header, 15000, 5, [](const std::string& changed) {
    std::string with_length;
    test::append<uint64_t>(with_length, changed.size());
    use_safetensors(with_length + changed + std::string(40, 1));
  }));
}

TEST(Mutation, SafetensorsIndex) {
  const std::string index =
      R"({"metadata":{"total_size":36,"nested":[[1,2],{"x":null}]},"weight_map":{)"
      R"("model.a":"model-00001-of-00002.safetensors","model.b":"model-00002-of-00002.safetensors",)"
      R"("m\u00fc":"model-00001-of-00002.safetensors"}})";
  expect_both(check_mutations(index, 15000, 6, [](const std::string& text) {
    for (const auto& [name, file] : parse_safetensors_index(text, "[index] mutated"))
      ASSERT_EQ(file.find('/'), std::string::npos);
  }));
}

}  // namespace
}  // namespace steno
