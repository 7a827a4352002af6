#include "memory/memory_file.h"

#include <ATen/ATen.h>
#include <stdlib.h>

#include "base/files_test_util.h"
#include "io/mutate_test_util.h"
#include "memory/memory_json.h"
#include "memory/memory_test_util.h"

namespace steno {
namespace {

using test::as_raw;
using test::expect_same_memory;
using test::made_up_header;
using test::made_up_spans;
using test::read_bytes;
using test::write_memory;

const std::string kText = "It was the best of times, it was the worst of times, it was the age of wisdom.";
const std::string kOther = "Call me Ishmael. Some years ago - never mind how long precisely - I went to sea.";

std::vector<NewSpan> joined(std::vector<NewSpan> a, const std::vector<NewSpan>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// The line with which something is refused.
template <class Action>
std::string refusal(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was refused";
}

class MemoryFileTest : public ::testing::Test {
 protected:
  // Same time in every file: then equal memories are equal files.
  void SetUp() override { setenv("SOURCE_DATE_EPOCH", "1750000000", 1); }
  void TearDown() override { unsetenv("SOURCE_DATE_EPOCH"); }
  std::filesystem::path path(const std::string& name) const { return folder_.path() / name; }

  test::TemporaryFolder folder_;
};

TEST_F(MemoryFileTest, GivesBackWhatWasWritten) {
  std::vector<NewSpan> spans = joined(made_up_spans("one.txt", kText, true), made_up_spans("two.txt", kOther, false));
  spans[1] = as_raw(spans[1]);
  spans[2].info.scores[SlotType::int8] = {0.5, 0.25, 0.125};
  for (const SlotType type : kSlotTypes) {
    write_memory(path("m"), spans, type);
    const auto file = MemoryFile::open(path("m"));
    ASSERT_EQ(file->spans().size(), spans.size());
    EXPECT_EQ(file->header().created, "2025-06-15T15:06:40Z");
    EXPECT_EQ(file->header().identity, made_up_header().identity);
    for (size_t i = 0; i < spans.size(); ++i) {
      const SpanInfo& info = file->spans()[i];
      EXPECT_EQ(info.source, spans[i].info.source);
      EXPECT_EQ(info.byte_begin, spans[i].info.byte_begin);
      EXPECT_EQ(info.token_end, spans[i].info.token_end);
      EXPECT_EQ(info.opens_document, spans[i].info.byte_begin == 0);
      EXPECT_EQ(info.has_text, spans[i].keep_text);
      EXPECT_EQ(file->find(info.id), i);
      if (info.has_text) {
        EXPECT_EQ(file->text(i), spans[i].text);
        EXPECT_EQ(file->tokens(i), spans[i].tokens);
      } else {
        EXPECT_EQ(file->text(i), std::nullopt);
        EXPECT_TRUE(file->tokens(i).empty());
      }
      if (i == 1) {
        EXPECT_EQ(info.kind, SpanKind::raw);
        EXPECT_EQ(info.slots, 0);
        EXPECT_THROW(file->slots(i), InputError);
        continue;
      }
      EXPECT_EQ(info.slot_type, type);
      EXPECT_EQ(info.slots, 4);
      const SpanSlots slots = file->slots(i);
      EXPECT_EQ(slots.source_tokens, info.tokens());
      ASSERT_EQ(slots.tensors.size(), 1u);
      EXPECT_TRUE(slots.tensors[0].second.equal(round_slots(spans[i].slots.tensors[0].second, type)));
    }
    EXPECT_EQ(file->spans()[2].scores.at(SlotType::int8).bleu4, 0.25);
  }
}

TEST_F(MemoryFileTest, TensorsOfEveryKindComeBack) {
  NewSpan span = made_up_spans("one.txt", "abc", true)[0];
  span.slots.tensors = {{"b", test::random_tensor({2, 3, 5}, 1)},
                        {"a", test::random_tensor({2, 1}, 2).to(at::kHalf)},
                        {"one number each", test::random_tensor({2}, 3)},
                        {"positions", at::tensor({int64_t{4}, int64_t{9}})}};
  for (const SlotType type : kSlotTypes) {
    write_memory(path("m"), {span}, type);
    const SpanSlots slots = MemoryFile::open(path("m"))->slots(0);
    ASSERT_EQ(slots.tensors.size(), 4u);
    for (size_t i = 0; i < 4; ++i) {
      const auto& [name, tensor] = span.slots.tensors[i];
      EXPECT_EQ(slots.tensors[i].first, name);
      const bool whole = !at::isFloatingType(tensor.scalar_type()) || name == "one number each";
      EXPECT_TRUE(slots.tensors[i].second.equal(whole ? tensor : round_slots(tensor, type))) << name;
    }
  }
}

TEST_F(MemoryFileTest, SlotTypesCostWhatTheySay) {
  NewSpan span = made_up_spans("one.txt", "abc", false)[0];
  span.slots.tensors[0].second = test::random_tensor({8, 64}, 1);
  const std::map<SlotType, int64_t> bytes = {{SlotType::f32, 8 * 64 * 4},
                                             {SlotType::bf16, 8 * 64 * 2},
                                             {SlotType::int8, 8 * (64 + 4)},
                                             {SlotType::int4, 8 * (32 + 4)}};
  for (const auto& [type, expected] : bytes) {
    const WriteReport report = write_memory(path("m"), {span}, type);
    EXPECT_EQ(report.new_bytes, expected);
    EXPECT_EQ(MemoryFile::open(path("m"))->spans()[0].bytes, expected);
    EXPECT_EQ(std::filesystem::file_size(path("m")), static_cast<uint64_t>(report.file_bytes));
  }
}

TEST_F(MemoryFileTest, AppendDeleteAndMergeEqualAFreshOne) {
  const auto one = made_up_spans("one.txt", kText, true), two = made_up_spans("two.txt", kOther, true);
  for (const SlotType type : kSlotTypes) {
    write_memory(path("one"), one, type);
    write_memory(path("two"), two, type);
    write_memory(path("fresh"), joined(one, two), type);

    const auto a = MemoryFile::open(path("one"));
    MemoryWriter append(a->header());
    append.keep_all(a);
    for (const NewSpan& span : two) append.add(span, type);
    const WriteReport report = append.write(path("one"));
    EXPECT_EQ(report.new_spans, static_cast<int64_t>(two.size()));
    EXPECT_GT(report.kept_bytes, 0);
    EXPECT_EQ(read_bytes(path("one")), read_bytes(path("fresh")));
    expect_same_memory(*MemoryFile::open(path("one")), *MemoryFile::open(path("fresh")));
    // What was opened before is still the old memory.
    EXPECT_EQ(a->spans().size(), one.size());
    EXPECT_EQ(a->text(0), one[0].text);

    const auto all = MemoryFile::open(path("one"));
    MemoryWriter take_out(all->header());
    for (size_t i = one.size(); i < all->spans().size(); ++i) take_out.keep(all, i);
    EXPECT_EQ(take_out.write(path("rest")).new_bytes, 0);
    EXPECT_EQ(read_bytes(path("rest")), read_bytes(path("two")));

    MemoryWriter merge(a->header());
    merge.keep_all(a);
    merge.keep_all(MemoryFile::open(path("two")));
    merge.write(path("merged"));
    EXPECT_EQ(read_bytes(path("merged")), read_bytes(path("fresh")));
  }
}

TEST_F(MemoryFileTest, SlotTypesMayBeMixed) {
  const auto one = made_up_spans("one.txt", kText, false), two = made_up_spans("two.txt", kOther, false);
  write_memory(path("one"), one, SlotType::int4);
  const auto a = MemoryFile::open(path("one"));
  MemoryWriter append(a->header());
  append.keep_all(a);
  for (const NewSpan& span : two) append.add(span, SlotType::f32);
  append.write(path("one"));
  const auto both = MemoryFile::open(path("one"));
  EXPECT_TRUE(both->slots(0).tensors[0].second.equal(a->slots(0).tensors[0].second));
  EXPECT_TRUE(both->slots(one.size()).tensors[0].second.equal(two[0].slots.tensors[0].second));
}

TEST_F(MemoryFileTest, RepetitionsGetIdsOfTheirOwn) {
  const auto one = made_up_spans("one.txt", "abc", false);
  write_memory(path("m"), joined(one, joined(one, one)));
  const auto file = MemoryFile::open(path("m"));
  const std::string id = file->spans()[0].id;
  EXPECT_EQ(id.size(), 12u);
  EXPECT_EQ(file->spans()[1].id, id + "-2");
  EXPECT_EQ(file->spans()[2].id, id + "-3");
  // An id stays with its span.
  MemoryWriter writer(file->header());
  writer.keep(file, 2);
  writer.keep(file, 0);
  writer.write(path("m"));
  EXPECT_EQ(MemoryFile::open(path("m"))->spans()[0].id, id + "-3");
}

TEST_F(MemoryFileTest, SpansAreSelectedByIdSourceAndNumber) {
  write_memory(path("m"), joined(made_up_spans("one.txt", kText, false), made_up_spans("two.txt", "abc", false)));
  const auto file = MemoryFile::open(path("m"));
  using List = std::vector<size_t>;
  EXPECT_EQ(select_spans(*file, "one.txt"), (List{0, 1, 2, 3, 4}));
  EXPECT_EQ(select_spans(*file, "5"), (List{5}));
  EXPECT_EQ(select_spans(*file, "1..3"), (List{1, 2, 3}));
  EXPECT_EQ(select_spans(*file, file->spans()[2].id), (List{2}));
  for (const char* wrong : {"6", "3..1", "3..6", "..", "1..", "three.txt", "", "-1", "1..2..3", "1 "})
    EXPECT_THROW(select_spans(*file, wrong), UsageError) << wrong;
}

TEST_F(MemoryFileTest, AnotherIdentityIsRefusedByName) {
  write_memory(path("m"), made_up_spans("one.txt", kText, false));
  const auto file = MemoryFile::open(path("m"));
  EXPECT_NO_THROW(file->check_identity(made_up_header()));
  const auto with = [&](auto change) {
    MemoryHeader header = made_up_header();
    change(header);
    return refusal([&] { file->check_identity(header); });
  };
  const auto expect_parts = [](const std::string& line, std::vector<std::string> parts) {
    for (const std::string& part : parts) EXPECT_NE(line.find(part), std::string::npos) << line;
    EXPECT_EQ(line.find('\n'), std::string::npos);
  };
  expect_parts(with([](auto& h) { h.method = "icae"; }), {path("m").string(), "made-up", "icae"});
  expect_parts(with([](auto& h) { h.method_version = 4; }), {"version 3", "version 4"});
  expect_parts(with([](auto& h) {
                 h.identity["model"] = hash_bytes("x");
                 h.names["model"] = "Huge";
               }),
               {"Tiny", "Huge", hash_bytes("model").substr(0, 12), hash_bytes("x").substr(0, 12), "--model"});
  expect_parts(with([](auto& h) { h.identity["tokenizer"] = hash_bytes("x"); }), {"tokenizer"});
  expect_parts(with([](auto& h) {
                 h.identity["rope"] = hash_bytes("x");
                 h.rope["theta"] = "500000";
               }),
               {"RoPE", "theta 10000 there and 500000 here"});
  expect_parts(with([](auto& h) {
                 h.identity["adapter"] = hash_bytes("x");
                 h.names["adapter"] = "adapters/two";
               }),
               {"adapter", "adapters/one", "adapters/two"});
  expect_parts(with([](auto& h) { h.identity["k"] = "64"; }), {"k none", "64"});
  expect_parts(with([](auto& h) { h.identity.erase("adapter"); }), {"adapter", "none"});
  // Where the adapter lies does not matter, nor who writes.
  EXPECT_EQ(with([](auto& h) {
              h.params["adapter"] = h.names["adapter"] = "elsewhere";
              h.steno = "9";
            }),
            "nothing was refused");

  MemoryHeader other = made_up_header();
  other.identity["adapter"] = hash_bytes("x");
  MemoryWriter writer(other);
  EXPECT_THROW(writer.keep(file, 0), InputError);
}

TEST_F(MemoryFileTest, EveryFlippedBitAndEveryCutIsRefused) {
  std::vector<NewSpan> spans = made_up_spans("one.txt", kText, true);
  spans[1] = as_raw(spans[1]);
  write_memory(path("m"), spans, SlotType::int4);
  const std::string good = read_bytes(path("m"));
  const auto parse = [](std::string bytes) { return MemoryFile::parse(MappedFile::from_bytes("m", std::move(bytes))); };
  ASSERT_NO_THROW(parse(good));
  size_t same = 0;
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bytes = good;
    bytes[bit / 8] ^= static_cast<char>(1 << bit % 8);
    try {
      parse(bytes);
      ++same;
      ADD_FAILURE() << "bit " << bit % 8 << " of byte " << bit / 8 << " does not matter";
    } catch (const InputError& error) {
      ASSERT_EQ(std::strchr(error.what(), '\n'), nullptr) << error.what();
    }
    if (same > 5) break;
  }
  for (size_t length = 0; length < good.size(); length += length < 5000 ? 1 : 7)
    EXPECT_THROW(parse(good.substr(0, length)), InputError) << length;
  EXPECT_THROW(parse(good + '\0'), InputError);
}

// Everything one can ask of a memory.
void use_memory(const std::string& bytes) {
  const auto file = MemoryFile::parse(MappedFile::from_bytes("mutated.memory", bytes));
  for (size_t i = 0; i < file->spans().size(); ++i) {
    const SpanInfo& info = file->spans()[i];
    ASSERT_GT(info.tokens(), 0);
    ASSERT_EQ(file->find(info.id), i);
    ASSERT_TRUE(file->tokens(i).empty() || static_cast<int64_t>(file->tokens(i).size()) == info.tokens());
    try {
      file->text(i);
    } catch (const InputError&) {
    }
    if (info.kind == SpanKind::raw) continue;
    const SpanSlots slots = file->slots(i);
    for (const auto& [name, tensor] : slots.tensors) {
      ASSERT_EQ(tensor.size(0), info.slots);
      ASSERT_EQ(tensor.clone().sizes(), tensor.sizes());
    }
  }
}

TEST_F(MemoryFileTest, ManyMutations) {
  std::vector<NewSpan> spans = made_up_spans("one.txt", kText, true);
  spans[0] = as_raw(spans[0]);
  write_memory(path("m"), spans, SlotType::int4);
  EXPECT_GT(test::check_mutations(read_bytes(path("m")), 4000, 1, use_memory).refused, 3900);

  // As a liar would write it: every checksum fits, so that only the checks behind them refuse.
  const auto file = MemoryFile::open(path("m"));
  const auto metadata = SafetensorsFile::open(path("m"))->metadata();
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  const auto raw = SafetensorsFile::open(path("m"));
  for (const auto& entry : raw->entries()) tensors.emplace_back(entry.name, raw->tensor(entry.name).clone());
  for (const char* which : {"memory", "spans"}) {
    const auto counts = test::check_mutations(metadata.at(which), 3000, 2, [&](const std::string& changed) {
      auto lie = metadata;
      lie[which] = changed;
      lie["checksum"] = hash_bytes(lie["format_version"] + "\n" + lie["memory"] + "\n" + lie["spans"]);
      // The safetensors writer wants UTF-8.
      MemoryHeader header;
      std::vector<StoredSpan> stored;
      parse_memory_metadata(lie, "[memory] mutated", header, stored);
      write_safetensors(path("lie"), tensors, lie);
      use_memory(read_bytes(path("lie")));
    });
    EXPECT_GT(counts.refused, 1000);
    EXPECT_GT(counts.accepted, 10);
  }
}

TEST_F(MemoryFileTest, LiesWithFittingChecksumsAreRefused) {
  write_memory(path("m"), made_up_spans("one.txt", kText, true), SlotType::int4);
  const auto raw = SafetensorsFile::open(path("m"));
  const auto line = [&](const std::string& from, const std::string& to) {
    auto lie = raw->metadata();
    bool found = false;
    for (const char* which : {"memory", "spans"}) {
      const size_t at = lie[which].find(from);
      if (at == std::string::npos) continue;
      lie[which].replace(at, from.size(), to);
      found = true;
      break;
    }
    EXPECT_TRUE(found) << from;
    lie["checksum"] = hash_bytes(lie["format_version"] + "\n" + lie["memory"] + "\n" + lie["spans"]);
    std::vector<std::pair<std::string, at::Tensor>> tensors;
    for (const auto& entry : raw->entries()) tensors.emplace_back(entry.name, raw->tensor(entry.name));
    write_safetensors(path("lie"), tensors, lie);
    return refusal([&] { MemoryFile::open(path("lie")); });
  };
  EXPECT_NE(line("\"columns\":{\"slots\":7}", "\"columns\":{\"slots\":9}").find("columns"), std::string::npos);
  EXPECT_NE(line("\"slots\":4", "\"slots\":5").find("5 rows"), std::string::npos);
  EXPECT_NE(line("\"slot_type\":\"int4\"", "\"slot_type\":\"int8\"").find("scale"), std::string::npos);
  EXPECT_NE(line("\"tokens\":[0,16]", "\"tokens\":[0,17]").find("17 numbers"), std::string::npos);
  EXPECT_NE(line("\"bytes\":[0,16]", "\"bytes\":[0,15]").find("15 packed bytes"), std::string::npos);
  EXPECT_NE(line("\"bytes\":[0,16]", "\"bytes\":[0,99999999999999999999]").find("'bytes'"), std::string::npos);
  EXPECT_NE(line("\"bytes\":[0,16]", "\"bytes\":[-1,16]").find("'bytes'"), std::string::npos);
  EXPECT_NE(line("\"kind\":\"slots\",\"slots\":4,\"slot_type\":\"int4\"", "\"kind\":\"raw\"").find("raw"),
            std::string::npos);
  EXPECT_NE(line("\"method_version\":3", "\"method_version\":3,\"surprise\":1").find("surprise"), std::string::npos);
  EXPECT_NE(line("\"span_tokens\":16", "\"span_tokens\":0").find("span_tokens"), std::string::npos);
  EXPECT_EQ(line("\"steno\":\"0.0.0\"", "\"steno\":\"0.0.1\""), "nothing was refused");
}

TEST_F(MemoryFileTest, OtherFilesAreNoMemories) {
  write_safetensors(path("weights"), {{"a", at::ones({3})}}, {{"format", "pt"}});
  const auto line = refusal([&] { MemoryFile::open(path("weights")); });
  EXPECT_NE(line.find("no memory file"), std::string::npos) << line;
  folder_.file("text", kText);
  EXPECT_THROW(MemoryFile::open(path("text")), InputError);
  EXPECT_THROW(MemoryFile::open(path("absent")), InputError);
  write_memory(path("m"), made_up_spans("one.txt", kText, false));
  EXPECT_TRUE(MemoryFile::is_memory_file(path("m")));
  for (const char* other : {"weights", "text", "absent"}) EXPECT_FALSE(MemoryFile::is_memory_file(path(other)));
  EXPECT_FALSE(MemoryFile::is_memory_file(folder_.path()));
}

TEST_F(MemoryFileTest, AnotherFormatVersionIsNamed) {
  write_memory(path("m"), made_up_spans("one.txt", kText, false));
  const auto raw = SafetensorsFile::open(path("m"));
  auto metadata = raw->metadata();
  metadata["format_version"] = "2";
  write_safetensors(path("later"), {}, metadata);
  const auto line = refusal([&] { MemoryFile::open(path("later")); });
  EXPECT_NE(line.find("format version 2"), std::string::npos) << line;
}

TEST_F(MemoryFileTest, AnEmptyMemoryIsAMemory) {
  write_memory(path("m"), {});
  EXPECT_TRUE(MemoryFile::open(path("m"))->spans().empty());
}

TEST_F(MemoryFileTest, NamesThatAreNoUtf8AreMadeReadable) {
  write_memory(path("m"), made_up_spans("caf\xe9.txt", kText, false));
  EXPECT_EQ(MemoryFile::open(path("m"))->spans()[0].source.find("\xe9"), std::string::npos);
}

}  // namespace
}  // namespace steno
