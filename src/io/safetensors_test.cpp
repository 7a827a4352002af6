#include "io/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstring>
#include <fstream>

#include "base/error.h"
#include "base/files_test_util.h"
#include "io/safetensors_parse.h"

namespace steno {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
namespace fs = std::filesystem;

std::string build(const std::string& header, const std::string& data = "") {
  const uint64_t length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + data;
}

std::shared_ptr<const SafetensorsFile> parse(std::string bytes) {
  return SafetensorsFile::parse(MappedFile::from_bytes("m.safetensors", std::move(bytes)));
}

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
std::string parse_message(const std::string& header, const std::string& data = "") {
  return message([&] { parse(build(header, data)); });
}

// The tensors of tests/golden/make_safetensors.py.
std::vector<std::pair<std::string, at::Tensor>> golden_tensors() {
  const at::Tensor base = at::arange(12, at::kLong).view({3, 4});
  std::vector<std::pair<std::string, at::Tensor>> tensors = {
      {"empty", at::empty({0, 5})}, {"scalar", at::scalar_tensor(2.5)}, {"bool", base.remainder(3) == 0}};
  const std::pair<const char*, at::ScalarType> types[] = {{"float64", at::kDouble},
                                                          {"float32", at::kFloat},
                                                          {"float16", at::kHalf},
                                                          {"bfloat16", at::kBFloat16},
                                                          {"int64", at::kLong},
                                                          {"int32", at::kInt},
                                                          {"int16", at::kShort},
                                                          {"int8", at::kChar},
                                                          {"uint64", at::kUInt64},
                                                          {"uint32", at::kUInt32},
                                                          {"uint16", at::kUInt16},
                                                          {"uint8", at::kByte},
                                                          {"float8_e4m3fn", at::kFloat8_e4m3fn},
                                                          {"float8_e5m2", at::kFloat8_e5m2},
                                                          {"complex64", at::kComplexFloat}};
  for (const auto& [name, dtype] : types) tensors.emplace_back(name, base.to(dtype));
  return tensors;
}
const std::map<std::string, std::string> kGoldenMetadata = {{"format", "pt"}, {"note", "größe ✓"}};

bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() &&
         (a.nbytes() == 0 || std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0);
}

void expect_golden(const SafetensorsFile& file) {
  const auto expected = golden_tensors();
  EXPECT_EQ(file.metadata(), kGoldenMetadata);
  EXPECT_EQ(file.entries().size(), expected.size());
  for (const auto& [name, tensor] : expected) EXPECT_TRUE(same_bits(file.tensor(name), tensor.contiguous())) << name;
}

class SafetensorsFolder : public testing::Test {
 protected:
  const test::TemporaryFolder temporary_;
  const fs::path folder_ = temporary_.path();
  void put(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }
};

TEST(Safetensors, ReadsWhatThePythonPackageWrote) {
  expect_golden(*SafetensorsFile::open(STENO_SOURCE_DIR "/tests/data/safetensors/all_types.safetensors"));
}

TEST_F(SafetensorsFolder, ReadsWhatItWrote) {
  // Left in the build folder: tests/golden/make_safetensors.py --check compares it with the Python package's reading.
  const fs::path path = STENO_BINARY_DIR "/io_all_types.safetensors";
  write_safetensors(path, golden_tensors(), kGoldenMetadata);
  const auto file = SafetensorsFile::open(path);
  expect_golden(*file);
  // Views, not copies: the writer aligned every tensor.
  for (const auto& entry : file->entries())
    if (!entry.data.empty()) {
      EXPECT_EQ(file->tensor(entry.name).const_data_ptr(), entry.data.data()) << entry.name;
    }
  // The same tensors give the same bytes.
  write_safetensors(folder_ / "again.safetensors", golden_tensors(), kGoldenMetadata);
  const auto a = MappedFile::open(path), b = MappedFile::open(folder_ / "again.safetensors");
  EXPECT_TRUE(std::ranges::equal(a->bytes(), b->bytes()));
}

RC_GTEST_PROP(SafetensorsProperty, AnySetOfTensorsComesBack, ()) {
  const auto names = *rc::gen::unique<std::vector<std::string>>(
      rc::gen::map(rc::gen::arbitrary<std::vector<uint16_t>>(), [](const std::vector<uint16_t>& letters) {
        std::string name = "n";
        for (uint16_t letter : letters)
          name += letter % 9 == 0 ? "\n" : letter % 9 == 1 ? "é" : std::string(1, 32 + letter % 95);
        return name;
      }));
  const std::vector<at::ScalarType> types = {at::kFloat, at::kBFloat16, at::kByte, at::kLong, at::kHalf};
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (const std::string& name : names) {
    const auto shape = *rc::gen::resize(4, rc::gen::container<std::vector<int64_t>>(rc::gen::inRange<int64_t>(0, 5)));
    tensors.emplace_back(name, at::randint(0, 100, shape).to(*rc::gen::elementOf(types)));
  }
  const auto metadata = std::map<std::string, std::string>{{"names", std::to_string(names.size())}};
  const fs::path path = test::program_file("property.safetensors");
  write_safetensors(path, tensors, metadata);
  const auto file = SafetensorsFile::open(path);
  RC_ASSERT(file->metadata() == metadata);
  RC_ASSERT(file->entries().size() == tensors.size());
  for (const auto& [name, tensor] : tensors) RC_ASSERT(same_bits(file->tensor(name), tensor));
  fs::remove(path);
}

TEST_F(SafetensorsFolder, WritesStridedTensors) {
  const at::Tensor t = at::arange(24, at::kFloat).view({4, 6});
  write_safetensors(
      folder_ / "s.safetensors",
      {{"t", t.t()}, {"slice", t.slice(1, 1, 5, 2)}, {"conj", at::view_as_complex(t.view({4, 3, 2})).conj()}});
  const auto file = SafetensorsFile::open(folder_ / "s.safetensors");
  EXPECT_TRUE(at::equal(file->tensor("t"), t.t()));
  EXPECT_TRUE(at::equal(file->tensor("slice"), t.slice(1, 1, 5, 2)));
  EXPECT_TRUE(at::equal(at::view_as_real(file->tensor("conj")).select(2, 1), -t.view({4, 3, 2}).select(2, 1)));
}

TEST_F(SafetensorsFolder, TensorsOutliveTheFileObject) {
  write_safetensors(folder_ / "s.safetensors", {{"t", at::arange(1000)}});
  at::Tensor tensor = SafetensorsFile::open(folder_ / "s.safetensors")->tensor("t");
  // Replacing the file does not change what is mapped.
  write_safetensors(folder_ / "s.safetensors", {{"t", at::zeros({1000}, at::kLong)}});
  EXPECT_TRUE(at::equal(tensor, at::arange(1000)));
}

TEST(Safetensors, CopiesWhatIsNotAligned) {
  std::string data(9, '\0');
  const float values[] = {1.5f, -2.0f};
  std::memcpy(data.data() + 1, values, 8);
  std::string header = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                       R"("b":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const auto file = parse(build(header, data));
  EXPECT_TRUE(at::equal(file->tensor("b"), at::tensor({1.5f, -2.0f})));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(file->tensor("b").const_data_ptr()) % 4, 0u);
  EXPECT_TRUE(file->has("a"));
  EXPECT_FALSE(file->has("c"));
  EXPECT_EQ(message([&] { file->tensor("c"); }), "[safetensors] m.safetensors: there is no tensor 'c'");
}

TEST(Safetensors, RefusesBadHeaders) {
  const auto raw = [](const std::string& bytes) { return message([&] { parse(bytes); }); };
  EXPECT_THAT(raw(""), HasSubstr("0 bytes are too few"));
  EXPECT_THAT(raw(std::string(8, '\xFF')), HasSubstr("does not fit into the file"));
  EXPECT_THAT(raw(build("")), HasSubstr("does not begin with '{'"));
  EXPECT_THAT(parse_message(" {}"), HasSubstr("does not begin with '{'"));
  EXPECT_THAT(parse_message("{"), HasSubstr("not valid JSON at byte"));
  EXPECT_THAT(parse_message("{} {}"), HasSubstr("not valid JSON at byte"));
  EXPECT_THAT(parse_message("{\"a\xFF\":1}"), HasSubstr("not valid JSON at byte"));
  EXPECT_THAT(parse_message(R"({"a":1})"), HasSubstr("'a': a number is not expected"));
  EXPECT_THAT(parse_message(R"({"a":[]})"), HasSubstr("'a': a list is not expected"));
  EXPECT_THAT(parse_message(R"({"a":{}})"), HasSubstr("'dtype', 'shape' and 'data_offsets' are needed"));
  EXPECT_THAT(parse_message(R"({"a":{"dtype":"F32","shape":[]}})"), HasSubstr("are needed"));
  EXPECT_THAT(parse_message(R"({"a":{"dtype":"F31"}})"), HasSubstr("dtype 'F31' is not supported"));
  EXPECT_THAT(parse_message(R"({"a":{"dtype":"F32","dtype":"F32"}})"), HasSubstr("'dtype' stands there twice"));
  EXPECT_THAT(parse_message(R"({"a":{"color":"red"}})"), HasSubstr("unknown field 'color'"));
  EXPECT_THAT(parse_message(R"({"a":{"shape":[-1]}})"), HasSubstr("a negative number"));
  EXPECT_THAT(parse_message(R"({"a":{"shape":[1.0]}})"), HasSubstr("a fraction"));
  EXPECT_THAT(parse_message(R"({"a":{"shape":[9223372036854775808]}})"), HasSubstr("more than 63 bits"));
  EXPECT_THAT(parse_message(R"({"a":{"shape":[[1]]}})"), HasSubstr("a list is not expected"));
  EXPECT_THAT(parse_message(R"({"a":{"shape":{}}})"), HasSubstr("an object is not expected"));
  EXPECT_THAT(parse_message(R"({"a":{"data_offsets":[1]}})"), HasSubstr("are two numbers"));
  EXPECT_THAT(parse_message(R"({"a":{"data_offsets":[1,2,3]}})"), HasSubstr("are two numbers"));
  EXPECT_THAT(parse_message(R"({"__metadata__":{"a":1}})"), HasSubstr("a number is not expected"));
  EXPECT_THAT(parse_message(R"({"__metadata__":{"a":"1","a":"1"}})"), HasSubstr("'a' stands there twice"));
  EXPECT_THAT(parse_message(R"({"a\nb":null})"), HasSubstr("'a?b': null is not expected"));
  const std::string empty = R"("a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]})";
  EXPECT_THAT(parse_message("{" + empty + "," + empty + "}"), HasSubstr("'a': it stands there twice"));
}

TEST(Safetensors, RefusesDeepNestingAtOnce) {
  EXPECT_THAT(parse_message("{\"a\":" + std::string(10'000'000, '[')), HasSubstr("a list is not expected"));
  EXPECT_THAT(parse_message("{\"a\":{\"shape\":" + std::string(10'000'000, '[')), HasSubstr("a list is not expected"));
  std::string many = R"({"a":{"shape":[1)";
  for (int i = 0; i < 1000; ++i) many += ",1";
  EXPECT_THAT(parse_message(many + "]}}"), HasSubstr("more than 64 dimensions"));
}

TEST(Safetensors, RefusesDataThatDoesNotFit) {
  const auto entry = [](const char* name, const char* shape, int begin, int end) {
    return fmt::format(R"("{}":{{"dtype":"F32","shape":{},"data_offsets":[{},{}]}})", name, shape, begin, end);
  };
  const auto one = [&](const char* shape, int begin, int end, int bytes) {
    return parse_message("{" + entry("a", shape, begin, end) + "}", std::string(bytes, 0));
  };
  EXPECT_THAT(one("[2]", 0, 8, 4), HasSubstr("lie outside the 4 bytes of data"));
  EXPECT_THAT(one("[2]", 8, 0, 8), HasSubstr("lie outside"));
  EXPECT_THAT(one("[3]", 0, 8, 8), HasSubstr("it has 8 bytes, but its dtype and shape need 12"));
  EXPECT_THAT(one("[2]", 0, 8, 9), HasSubstr("1 bytes at the end belong to no tensor"));
  EXPECT_THAT(one("[2]", 4, 12, 12), HasSubstr("after the end of the tensor before it"));
  EXPECT_THAT(one("[4294967296,4294967296]", 0, 8, 8), HasSubstr("overflows 64 bits"));
  EXPECT_THAT(one("[4611686018427387904,4,0]", 0, 0, 0), HasSubstr("overflows 64 bits"));
  EXPECT_THAT(parse_message("{" + entry("a", "[2]", 0, 8) + "," + entry("b", "[2]", 4, 12) + "}", std::string(12, 0)),
              HasSubstr("'b': its data begins at 4, before the end"));
  EXPECT_THAT(parse_message("{}", "x"), HasSubstr("1 bytes at the end"));
  EXPECT_TRUE(parse(build("{}"))->entries().empty());

  const auto file = parse(build(R"({"b":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})", "\x01\x02"));
  EXPECT_THAT(message([&] { file->tensor("b"); }), HasSubstr("neither 0 nor 1"));
}

TEST_F(SafetensorsFolder, ReadsShards) {
  write_safetensors(folder_ / "m-1.safetensors", {{"a", at::ones({2})}, {"c", at::ones({3})}}, {{"format", "pt"}});
  write_safetensors(folder_ / "m-2.safetensors", {{"b", at::zeros({4})}}, {{"format", "pt"}});
  const auto index = [&](const std::string& map) {
    put("m.safetensors.index.json", R"({"metadata":{"total_size":36},"weight_map":)" + map + "}");
    return SafetensorsFile::open(folder_ / "m.safetensors.index.json");
  };
  const auto file = index(R"({"a":"m-1.safetensors","b":"m-2.safetensors","c":"m-1.safetensors"})");
  ASSERT_EQ(file->entries().size(), 3u);
  EXPECT_EQ(file->entries()[1].name, "b");
  EXPECT_TRUE(at::equal(file->tensor("b"), at::zeros({4})));
  EXPECT_TRUE(at::equal(file->tensor("c"), at::ones({3})));
  EXPECT_EQ(file->metadata().at("format"), "pt");

  const auto index_message = [&](const char* map) { return message([&] { index(map); }); };
  EXPECT_THAT(index_message(R"({"a":"m-1.safetensors","c":"m-1.safetensors","b":"m-3.safetensors"})"),
              HasSubstr("m-3.safetensors' is missing"));
  EXPECT_THAT(index_message(R"({"a":"m-1.safetensors"})"),
              HasSubstr("tensor 'c' is in 'm-1.safetensors', but the index does not say so"));
  EXPECT_THAT(index_message(R"({"a":"m-1.safetensors","c":"m-1.safetensors","d":"m-1.safetensors"})"),
              HasSubstr("tensor 'd' is not in 'm-1.safetensors'"));
  EXPECT_THAT(index_message(R"({"a":"../m-1.safetensors"})"),
              HasSubstr("must be the name of a file in the same folder"));
  EXPECT_THAT(index_message(R"({"a":7})"), HasSubstr("must be the name of a file"));
  EXPECT_THAT(index_message(R"({"a":"x","a":"x"})"), HasSubstr("'a' stands twice"));
  EXPECT_THAT(index_message("[]"), HasSubstr("there is no 'weight_map' object"));
  EXPECT_THAT(index_message("{"), HasSubstr("not valid JSON at byte"));
}

TEST(SafetensorsIndex, DeepNestingIsRefused) {
  EXPECT_THAT(message([] { parse_safetensors_index(std::string(1'000'000, '['), "[index] x"); }),
              HasSubstr("nested deeper than 64 levels"));
  EXPECT_THAT(message([] { parse_safetensors_index("{\"a\": 1e999}", "[index] x"); }), HasSubstr("out of range"));
}

}  // namespace
}  // namespace steno
