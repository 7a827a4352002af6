// What every method promises of its saved memories.
#include <gtest/gtest.h>

#include <fstream>

#include "io/safetensors.h"
#include "memory/stream_frame.h"
#include "methods/contract_test_util.h"

namespace steno {
namespace {

using test::Contract;
using test::feed_all;
using test::kTokens;
using test::learned;
using test::same_bits;

TEST_P(Contract, ASavedStreamContinuesWithTheSameBits) {
  const auto ids = text(), more = text(25, 2);
  for (const int64_t count : {int64_t{0}, int64_t{5}, kTokens}) {
    const auto original = open();
    if (count > 0) feed_all(*original, std::span(ids).first(count), 7);
    original->end_of_utterance();
    const std::string path = file("continue");
    original->save(path);
    const auto loaded = open();
    feed_all(*loaded, std::span(more).first(9));  // load replaces what was there
    loaded->load(path);
    expect_same_state(*loaded, *original);
    EXPECT_EQ(loaded->accounting().memory_bytes, original->accounting().memory_bytes);
    EXPECT_TRUE(same_bits(feed_all(*loaded, more, 4), feed_all(*original, more, 4))) << count;
    expect_same_state(*loaded, *original);
    // What is saved again is the same memory.
    const std::string again = file("again");
    loaded->save(again);
    original->save(path);
    const auto a = SafetensorsFile::open(path), b = SafetensorsFile::open(again);
    ASSERT_EQ(a->entries().size(), b->entries().size());
    EXPECT_EQ(a->metadata(), b->metadata());
    for (const auto& entry : a->entries())
      EXPECT_TRUE(same_bits(a->tensor(entry.name), b->tensor(entry.name))) << entry.name;
  }
}

// load() refuses the file in one line and leaves the stream as it was.
void expect_refused(Stream& stream, const std::string& path, const std::string& why) {
  const int64_t seen = stream.tokens_seen(), slots = stream.accounting().slots;
  try {
    stream.load(path);
    ADD_FAILURE() << "loaded a file of " << why;
  } catch (const InputError& error) {
    const std::string line = error.what();
    EXPECT_NE(line.find(path), std::string::npos) << line;
    EXPECT_EQ(line.find('\n'), std::string::npos) << line;
  }
  EXPECT_EQ(stream.tokens_seen(), seen) << why;
  EXPECT_EQ(stream.accounting().slots, slots) << why;
}

TEST_P(Contract, FilesThatDoNotFitAreRefused) {
  const auto ids = text();
  const std::string path = file("saved");
  const auto original = open();
  feed_all(*original, ids);
  original->save(path);
  const auto fresh = [&] {
    auto stream = open();
    feed_all(*stream, std::span(ids).first(20));
    return stream;
  };

  for (const Method* other : methods()) {
    if (other == &method()) continue;
    const auto stream = other->open_stream(
        decoder_, {.budget = budget_of(*other), .chunk_size = 16, .params = learned(*other, GetParam().model)});
    expect_refused(*stream, path, "method " + method().name());
  }
  if (method().has_budget()) expect_refused(*open(16, budget() + 1), path, "another budget");
  for (const FieldInfo& field : method().parameters()) {
    if (field.type != "int") continue;
    StreamOptions changed = options();
    changed.params[field.name] = std::to_string(std::stoll(field.value) + 1);
    expect_refused(*method().open_stream(decoder_, changed), path, "another " + field.name);
  }
  const std::string other_model = GetParam().model == "qwen3" ? "llama_tied" : "qwen3";
  StreamOptions there = options();
  there.params = learned(method(), other_model);
  expect_refused(*method().open_stream(test::tiny_decoder(other_model, GetParam().dtype), there), path,
                 "another model");
  expect_refused(
      *method().open_stream(test::tiny_decoder(GetParam().model, exact() ? at::kBFloat16 : at::kFloat), options()),
      path, "another dtype");
  expect_refused(*fresh(), path + ".absent", "no such name");

  // Cut anywhere, it is no memory.
  std::ifstream in(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  const std::string cut = file("cut");
  for (const size_t size : {size_t{0}, size_t{7}, size_t{100}, bytes.size() / 2, bytes.size() - 1}) {
    std::ofstream(cut, std::ios::binary | std::ios::trunc) << bytes.substr(0, size);
    expect_refused(*fresh(), cut, fmt::format("{} of {} bytes", size, bytes.size()));
  }

  // Numbers that cannot be: each damage alone.
  const auto whole = SafetensorsFile::open(path);
  const auto damaged = [&](const std::string& why, std::map<std::string, std::string> metadata) {
    std::vector<std::pair<std::string, at::Tensor>> tensors;
    for (const auto& entry : whole->entries()) tensors.emplace_back(entry.name, whole->tensor(entry.name));
    // With a checksum that fits, so that what is behind it is looked at.
    if (const auto found = metadata.find("checksum");
        found != metadata.end() && found->second == whole->metadata().at("checksum"))
      found->second = stream_checksum(metadata, tensors);
    write_safetensors(cut, tensors, metadata);
    expect_refused(*fresh(), cut, why);
  };
  for (const auto& item : whole->metadata()) {
    auto metadata = whole->metadata();
    metadata.erase(item.first);
    damaged("no " + item.first, metadata);
    metadata[item.first] = "-7";
    damaged(item.first + " -7", metadata);
  }
  for (const auto& entry : whole->entries()) {
    std::vector<std::pair<std::string, at::Tensor>> tensors;
    for (const auto& other : whole->entries())
      if (other.name != entry.name) tensors.emplace_back(other.name, whole->tensor(other.name));
    auto metadata = whole->metadata();
    metadata["checksum"] = stream_checksum(metadata, tensors);
    write_safetensors(cut, tensors, metadata);
    expect_refused(*fresh(), cut, "no tensor " + entry.name);
  }
}

}  // namespace
}  // namespace steno
