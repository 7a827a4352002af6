#include "io/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "base/files_test_util.h"
#include "io/gguf_test_util.h"

namespace steno {
namespace {

using test::GgufBuilder;
using testing::ElementsAre;
using testing::HasSubstr;

std::shared_ptr<const GgufFile> parse(std::string bytes) {
  return GgufFile::parse(MappedFile::from_bytes("model.gguf", std::move(bytes)));
}

// The message of the InputError that `action` throws.
template <class Action>
std::string message(Action action) {
  try {
    action();
  } catch (const InputError& error) {
    return error.what();
  }
  ADD_FAILURE() << "no InputError";
  return "";
}
std::string parse_message(const std::string& bytes) {
  return message([&] { parse(bytes); });
}

GgufBuilder metadata_of_every_kind() {
  GgufBuilder builder;
  builder.add<uint8_t>("u8", 200).add<int8_t>("i8", -100).add<uint16_t>("u16", 60000).add<int16_t>("i16", -30000);
  builder.add<uint32_t>("u32", 4000000000u).add<int32_t>("i32", -2000000000).add<float>("f32", 1.5f);
  builder.add<bool>("yes", true).add<bool>("no", false).add("text", "steno ✓").add("empty", "");
  builder.add<uint64_t>("u64", ~0ull).add<int64_t>("i64", -5000000000).add<double>("f64", 0.1);
  builder.add_array<uint16_t>("a.u16", {1, 65535}).add_array<int8_t>("a.i8", {-1, 2}).add_array<float>("a.f32", {0.5f});
  builder.add_array<double>("a.f64", {0.25, 4}).add_array<bool>("a.bool", {true, false, true});
  builder.add_array<std::string>("a.text", {"one", "", "three"}).add_array<uint64_t>("a.u64", {1, ~0ull});
  return builder;
}

TEST(Gguf, ReadsMetadataOfEveryKind) {
  const auto file = parse(metadata_of_every_kind().build());
  EXPECT_EQ(file->version(), 3u);
  EXPECT_EQ(file->metadata().size(), 21u);
  EXPECT_EQ(file->metadata()[2].first, "u16");
  EXPECT_EQ(file->get_int("u8"), 200);
  EXPECT_EQ(file->get_int("i8"), -100);
  EXPECT_EQ(file->get_int("u16"), 60000);
  EXPECT_EQ(file->get_int("i16"), -30000);
  EXPECT_EQ(file->get_int("u32"), 4000000000);
  EXPECT_EQ(file->get_int("i32"), -2000000000);
  EXPECT_EQ(file->get_int("i64"), -5000000000);
  EXPECT_EQ(file->get_float("f32"), 1.5);
  EXPECT_EQ(file->get_float("f64"), 0.1);
  EXPECT_TRUE(file->bool_or("yes", false));
  EXPECT_FALSE(file->bool_or("no", true));
  EXPECT_EQ(file->get_string("text"), "steno ✓");
  EXPECT_EQ(file->get_string("empty"), "");
  EXPECT_THAT(file->ints_or_empty("a.u16"), ElementsAre(1, 65535));
  EXPECT_THAT(file->ints_or_empty("a.i8"), ElementsAre(-1, 2));
  EXPECT_THAT(file->ints_or_empty("u8"), ElementsAre(200));
  EXPECT_THAT(file->floats_or_empty("a.f32"), ElementsAre(0.5f));
  EXPECT_THAT(file->floats_or_empty("a.f64"), ElementsAre(0.25f, 4.0f));
  EXPECT_THAT(file->get_strings("a.text"), ElementsAre("one", "", "three"));
  EXPECT_THAT(std::get<std::vector<bool>>(std::get<GgufArray>(*file->find("a.bool"))), ElementsAre(true, false, true));
}

TEST(Gguf, LookUpsFallBackOnlyWhereTheKeyIsAbsent) {
  const auto file = parse(metadata_of_every_kind().build());
  EXPECT_EQ(file->find("absent"), nullptr);
  EXPECT_EQ(file->int_or("absent", 7), 7);
  EXPECT_EQ(file->float_or("absent", 2.5), 2.5);
  EXPECT_TRUE(file->bool_or("absent", true));
  EXPECT_EQ(file->string_or("absent", "x"), "x");
  EXPECT_TRUE(file->ints_or_empty("absent").empty());
  EXPECT_TRUE(file->floats_or_empty("absent").empty());

  EXPECT_EQ(message([&] { file->get_int("absent"); }), "[gguf] model.gguf: key 'absent' is missing");
  EXPECT_EQ(message([&] { file->get_int("text"); }),
            "[gguf] model.gguf: key 'text' is a string, but an integer is needed");
  EXPECT_THAT(message([&] { file->get_int("u64"); }), HasSubstr("18446744073709551615, more than 63 bits"));
  EXPECT_THROW(file->int_or("f32", 1), InputError);
  EXPECT_THROW(file->get_int("yes"), InputError);
  EXPECT_THROW(file->float_or("u8", 1), InputError);
  EXPECT_THROW(file->bool_or("u8", true), InputError);
  EXPECT_THROW(file->string_or("u8", ""), InputError);
  EXPECT_THROW(file->get_string("absent"), InputError);
  EXPECT_THROW(file->get_strings("text"), InputError);
  EXPECT_THROW(file->ints_or_empty("a.f32"), InputError);
  EXPECT_THROW(file->ints_or_empty("a.bool"), InputError);
  EXPECT_THROW(file->ints_or_empty("a.u64"), InputError);
  EXPECT_THROW(file->floats_or_empty("a.u16"), InputError);
}

std::string floats(std::vector<float> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

TEST(Gguf, ReadsTensors) {
  for (uint32_t version : {2u, 3u}) {
    GgufBuilder builder;
    builder.version = version;
    builder.tensor("w", GgmlType::F32, {3, 2}, floats({1, 2, 3, 4, 5, 6}));
    builder.tensor("scalar", GgmlType::F32, {}, floats({7}));
    builder.tensor("q", GgmlType::Q8_0, {32, 2},
                   std::string("\x00\x3C", 2) + std::string(32, 2) + std::string("\x00\xC0", 2) + std::string(32, 3));
    const auto file = parse(builder.build());
    EXPECT_EQ(file->version(), version);
    ASSERT_EQ(file->tensors().size(), 3u);
    const GgufTensor& w = *file->find_tensor("w");
    EXPECT_THAT(w.shape, ElementsAre(2, 3));  // [out, in]
    EXPECT_TRUE(at::equal(dequantize(w, at::kFloat), at::arange(1.0f, 7.0f).view({2, 3})));
    EXPECT_EQ(dequantize(*file->find_tensor("scalar"), at::kFloat).item<float>(), 7);
    const at::Tensor q = dequantize(file->tensors()[2], at::kBFloat16);
    EXPECT_EQ(q.scalar_type(), at::kBFloat16);
    EXPECT_TRUE(at::equal(q.to(at::kFloat), at::tensor({2.0f, -6.0f}).view({2, 1}).expand({2, 32})));
    EXPECT_TRUE(at::equal(dequantize_rows(file->tensors()[2], 1, 2, at::kFloat), at::full({1, 32}, -6.0f)));
    EXPECT_EQ(file->find_tensor("v"), nullptr);
  }
}

TEST(Gguf, ManyThreadsAndRowRangesGiveTheSameValues) {
  std::string blocks;
  for (int i = 0; i < 2000 * 18; ++i) blocks.push_back(static_cast<char>(i % 18 == 1 ? 0x2F : i * 37));
  const auto file = parse(GgufBuilder().tensor("w", GgmlType::Q4_0, {320, 200}, blocks).build());
  const GgufTensor& tensor = file->tensors()[0];
  at::Tensor expected = at::empty({200, 320});
  dequantize_to_f32(tensor.type, tensor.data.data(), expected.data_ptr<float>(), expected.numel());
  EXPECT_TRUE(at::equal(dequantize(tensor, at::kFloat), expected));
  EXPECT_TRUE(at::equal(dequantize(tensor, at::kBFloat16), expected.to(at::kBFloat16)));
  EXPECT_TRUE(at::equal(dequantize_rows(tensor, 17, 131, at::kFloat), expected.slice(0, 17, 131)));
}

TEST(Gguf, RespectsTheAlignment) {
  GgufBuilder builder;
  builder.alignment = 256;
  builder.add<uint32_t>("general.alignment", 256);
  builder.tensor("a", GgmlType::F32, {1}, floats({1})).tensor("b", GgmlType::F32, {1}, floats({2}));
  const auto file = parse(builder.build());
  EXPECT_EQ(dequantize(file->tensors()[1], at::kFloat).item<float>(), 2);
}

TEST(Gguf, OpensFilesWithTypesThatItCannotRead) {
  GgufBuilder builder;
  builder.tensor("iq", 20, {64}, std::string(36, 1)).tensor("new", 777, {64, 2}, std::string(99, 1));
  const auto file = parse(builder.build());
  EXPECT_EQ(file->tensors()[0].data.size(), 36u);
  EXPECT_TRUE(file->tensors()[1].data.empty());
  EXPECT_EQ(message([&] { dequantize(file->tensors()[0], at::kFloat); }),
            "[gguf] tensor 'iq': IQ4_NL is not supported; convert the model to Q8_0");
  EXPECT_THAT(message([&] { dequantize(file->tensors()[1], at::kFloat); }),
              HasSubstr("'new': type 777 is not supported"));
  EXPECT_THROW(check_scales(file->tensors()[0]), InputError);
  // Where the size is known, the end is checked.
  EXPECT_THAT(parse_message(GgufBuilder().tensor("iq", 20, {64}, std::string(35, 1)).build()),
              HasSubstr("'iq': its 36 bytes"));
}

TEST(Gguf, FindsScalesThatAreNotFinite) {
  std::string blocks = std::string("\x00\x3C\x00\x3C", 4) + std::string(16, 5);
  EXPECT_NO_THROW(check_scales(parse(GgufBuilder().tensor("w", GgmlType::Q4_1, {32}, blocks).build())->tensors()[0]));
  blocks += std::string("\x00\x3C\x00\x7C", 4) + std::string(16, 5);
  const auto file = parse(GgufBuilder().tensor("w", GgmlType::Q4_1, {32, 2}, blocks).build());
  EXPECT_EQ(message([&] { check_scales(file->tensors()[0]); }),
            "[gguf] tensor 'w': block 1 (from value 32) of type Q4_1 is NaN or infinite; the file is damaged");
}

TEST(Gguf, RefusesWhatIsNoGguf) {
  EXPECT_EQ(parse_message(""), "[gguf] model.gguf: this is not a GGUF file (it does not begin with 'GGUF')");
  EXPECT_THAT(parse_message(std::string(64, 'x')), HasSubstr("not a GGUF file"));
  GgufBuilder builder;
  for (uint32_t version : {0u, 1u, 4u}) {
    builder.version = version;
    EXPECT_THAT(parse_message(builder.build()), HasSubstr(fmt::format("version {} is not supported", version)));
  }
  builder.version = 0x03000000;
  EXPECT_THAT(parse_message(builder.build()), HasSubstr("big-endian"));
}

TEST(Gguf, RefusesCountsThatCannotFit) {
  const std::string good = metadata_of_every_kind().tensor("w", GgmlType::F32, {1}, floats({1})).build();
  for (size_t at : {8, 16}) {  // tensors, metadata values
    for (uint64_t count : {1ull << 20, 1ull << 62, ~0ull}) {
      std::string bytes = good;
      std::memcpy(bytes.data() + at, &count, sizeof count);
      EXPECT_THAT(parse_message(bytes), HasSubstr("cannot fit into the remaining"));
    }
  }
  // The counts of arrays and the lengths of strings.
  for (const char* key : {"a.u16", "a.bool", "a.text", "a.f64"}) {
    std::string bytes = good;
    const size_t at = bytes.find(key) + std::strlen(key) + 8;
    std::memset(bytes.data() + at, 0xFF, 8);
    EXPECT_THAT(parse_message(bytes), HasSubstr("cannot fit into the remaining")) << key;
  }
  std::string bytes = good;
  std::memset(bytes.data() + bytes.find("steno") - 8, 0xFF, 8);
  EXPECT_THAT(parse_message(bytes), HasSubstr("cut short or damaged"));
}

TEST(Gguf, RefusesBadMetadata) {
  EXPECT_THAT(parse_message(GgufBuilder().add("k", "a").add("k", "b").build()),
              HasSubstr("key 'k' stands there twice"));
  EXPECT_THAT(parse_message(GgufBuilder().add("", "a").build()), HasSubstr("metadata key at byte 24 has 0 bytes"));
  EXPECT_THAT(parse_message(GgufBuilder().add("a\nb", "a").build()), HasSubstr("not printable UTF-8"));
  EXPECT_THAT(parse_message(GgufBuilder().add("a\xFF", "a").build()), HasSubstr("not printable UTF-8"));
  std::string bytes = GgufBuilder().add<uint8_t>("flag", 2).build();
  bytes[bytes.find("flag") + 4] = 7;  // a bool now
  EXPECT_THAT(parse_message(bytes), HasSubstr("not a bool"));
  bytes[bytes.find("flag") + 4] = 13;
  EXPECT_THAT(parse_message(bytes), HasSubstr("key 'flag': unknown value type 13"));
  bytes = GgufBuilder().add_array<uint32_t>("list", {1, 2, 3, 4}).build();
  bytes[bytes.find("list") + 8] = 9;
  EXPECT_THAT(parse_message(bytes), HasSubstr("key 'list': arrays of arrays are not supported"));
  bytes[bytes.find("list") + 8] = 99;
  EXPECT_THAT(parse_message(bytes), HasSubstr("key 'list': unknown element type 99"));
  for (uint32_t alignment : {0u, 3u, 48u, 0x80000000u})
    EXPECT_THAT(parse_message(GgufBuilder().add<uint32_t>("general.alignment", alignment).build()),
                HasSubstr("general.alignment is not a power of two"));
}

TEST(Gguf, RefusesBadTensors) {
  const auto one = [](uint32_t type, std::vector<uint64_t> dimensions, size_t bytes) {
    return parse_message(GgufBuilder().tensor("w", type, dimensions, std::string(bytes, 0)).build());
  };
  EXPECT_THAT(one(0, {1, 1, 1, 1, 1}, 4), HasSubstr("tensor 'w': it has 5 dimensions"));
  EXPECT_THAT(one(0, {4, 0}, 16), HasSubstr("tensor 'w': dimension 1 is 0"));
  EXPECT_THAT(one(0, {1ull << 32, 1ull << 32}, 16), HasSubstr("overflows 64 bits"));
  EXPECT_THAT(one(0, {~0ull}, 16), HasSubstr("overflows 64 bits"));
  EXPECT_THAT(one(0, {1ull << 62}, 16), HasSubstr("size in bytes overflows 64 bits"));
  EXPECT_THAT(one(2, {48}, 36), HasSubstr("rows of 48 values are not whole blocks of 32 (Q4_0)"));
  EXPECT_THAT(one(0, {5}, 16), HasSubstr("its 20 bytes at offset 0 lie outside the 16 bytes of data"));

  const auto two = [](uint64_t offset, const char* name) {
    return parse_message(GgufBuilder()
                             .tensor("a", GgmlType::F32, {16}, std::string(64, 0))
                             .tensor_at(name, 0, {8}, offset, std::string(32, 0))
                             .build());
  };
  EXPECT_THAT(two(64, "a"), HasSubstr("tensor 'a' stands there twice"));
  EXPECT_THAT(two(33, "b"), HasSubstr("tensor 'b': offset 33 is not a multiple of 32"));
  EXPECT_THAT(two(32, "b"), HasSubstr("tensors 'a' and 'b' overlap"));
  EXPECT_THAT(two(0, "b"), HasSubstr("overlap"));
  EXPECT_THAT(two(96, "b"), HasSubstr("lie outside"));
  EXPECT_THAT(two(~0ull - 31, "b"), HasSubstr("lie outside"));
}

// Split files.

class GgufSplit : public testing::Test {
 protected:
  const test::TemporaryFolder temporary_;
  const std::filesystem::path folder_ = temporary_.path();
  const std::filesystem::path first_ = folder_ / "m-00001-of-00003.gguf";

  void SetUp() override {
    for (int i = 0; i < 3; ++i) write(i, part(i));
  }

  static GgufBuilder part(int number, int count = 3, int tensors = 3) {
    GgufBuilder builder;
    builder.add<uint16_t>("split.no", number).add<uint16_t>("split.count", count);
    builder.add<int32_t>("split.tensors.count", tensors);
    if (number == 0) builder.add("general.architecture", "llama");
    return builder.tensor("w" + std::to_string(number), GgmlType::F32, {1}, floats({float(number)}));
  }
  void write(int number, const GgufBuilder& builder) const {
    std::ofstream(folder_ / fmt::format("m-{:05d}-of-00003.gguf", number + 1), std::ios::binary) << builder.build();
  }
  std::string open_message() const {
    return message([&] { GgufFile::open(first_); });
  }
};

TEST_F(GgufSplit, AllPartsAreOneFile) {
  const auto file = GgufFile::open(first_);
  EXPECT_EQ(file->path(), first_);
  EXPECT_EQ(file->get_string("general.architecture"), "llama");
  ASSERT_EQ(file->tensors().size(), 3u);
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(dequantize(*file->find_tensor("w" + std::to_string(i)), at::kFloat).item<float>(), i);
  size_t bytes = 0;
  for (int i = 0; i < 3; ++i) bytes += part(i).build().size();
  EXPECT_EQ(file->file_bytes(), static_cast<int64_t>(bytes));
}

TEST_F(GgufSplit, MissingOrForeignPartsAreRefused) {
  EXPECT_THAT(message([&] { GgufFile::open(folder_ / "m-00002-of-00003.gguf"); }),
              HasSubstr("this is part 2 of a split file; name the first part (...-00001-of-00003.gguf)"));
  write(1, part(2));
  EXPECT_THAT(open_message(), HasSubstr("this is not part 2 of 3 (split.no 2, split.count 3)"));
  write(1, part(1, 4));
  EXPECT_THAT(open_message(), HasSubstr("this is not part 2 of 3 (split.no 1, split.count 4)"));
  write(1, GgufBuilder().tensor("w1", GgmlType::F32, {1}, floats({1})));
  EXPECT_THAT(open_message(), HasSubstr("this is not part 2 of 3 (split.no -1, split.count 0)"));
  write(1, GgufBuilder(part(1)).tensor("w0", GgmlType::F32, {1}, floats({1})));
  EXPECT_THAT(open_message(), HasSubstr("tensor 'w0' is in an earlier part"));
  write(1, GgufBuilder(part(1)).tensor("more", GgmlType::F32, {1}, floats({1})));
  EXPECT_THAT(open_message(), HasSubstr("hold 4 tensors, but split.tensors.count is 3"));
  std::filesystem::remove(folder_ / "m-00002-of-00003.gguf");
  EXPECT_THAT(open_message(), HasSubstr("part 2 of 3 is missing"));
  std::filesystem::rename(first_, folder_ / "m.gguf");
  EXPECT_THAT(message([&] { GgufFile::open(folder_ / "m.gguf"); }),
              HasSubstr("its name must end in '-00001-of-00003.gguf'"));
  EXPECT_THAT(parse_message(part(0).build()), HasSubstr("one of 3 parts of a split file"));
}

}  // namespace
}  // namespace steno
