// What every method promises, checked for every method of the registry. A new method is tested by its line there. Saved
// memories are in contract_files_test.cpp.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <csignal>
#include <regex>

#include "base/interrupt.h"
#include "memory/feed_together.h"
#include "methods/contract_test_util.h"

namespace steno {
namespace {

using test::Contract;
using test::ContractCase;
using test::feed_all;
using test::kTokens;
using test::relative_difference;
using test::represented;
using test::same_bits;

std::vector<ContractCase> cases() {
  std::vector<ContractCase> all;
  for (const Method* method : methods()) {
    for (const char* model : {"llama_tied", "qwen3", "mistral_window", "gemma3"})
      all.push_back({method, model, at::kFloat});
    all.push_back({method, "llama_tied", at::kBFloat16});
  }
  return all;
}

std::string case_name(const testing::TestParamInfo<ContractCase>& info) {
  const ContractCase& c = info.param;
  std::string name = c.method->name() + "_" + c.model + (c.dtype == at::kFloat ? "_f32" : "_bf16");
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

TEST_P(Contract, NameVersionAndParametersCanBeShownAndStored) {
  EXPECT_TRUE(std::regex_match(method().name(), std::regex("[a-z][a-z0-9]*(-[a-z0-9]+)*"))) << method().name();
  EXPECT_EQ(&method_named(method().name()), &method());
  EXPECT_GE(method().version(), 1);
  EXPECT_FALSE(method().summary().empty());
  EXPECT_EQ(method().summary().find('\n'), std::string::npos);
  std::set<std::string> names;
  FieldValues defaults;
  for (const FieldInfo& field : method().parameters()) {
    EXPECT_TRUE(names.insert(field.name).second) << field.name << " twice";
    EXPECT_FALSE(field.name.empty() || field.type.empty() || field.help.empty()) << field.name;
    defaults[field.name] = field.value;
  }
  // The defaults that are shown are those that hold.
  StreamOptions spelled = options();
  for (const auto& [name, value] : params()) defaults[name] = value;
  spelled.params = defaults;
  const auto ids = text();
  EXPECT_TRUE(same_bits(feed_all(*method().open_stream(decoder_, spelled), ids), feed_all(*open(), ids)));
}

TEST_P(Contract, WrongOptionsAreUsageErrors) {
  StreamOptions unknown = options();
  unknown.params["no-such-parameter"] = "1";
  EXPECT_THROW(method().open_stream(decoder_, unknown), UsageError);
  for (const FieldInfo& field : method().parameters()) {
    StreamOptions nonsense = options();
    nonsense.params[field.name] = "?!";
    EXPECT_THROW(method().open_stream(decoder_, nonsense), UsageError) << field.name;
  }
  if (!method().has_budget()) return;
  for (const int64_t budget : {int64_t{-1}, int64_t{-1000}, std::numeric_limits<int64_t>::min()})
    EXPECT_THROW(open(16, budget), UsageError) << budget;
  EXPECT_NO_THROW(open(16, method().smallest_budget()));
  if (method().smallest_budget() > 1) {
    EXPECT_THROW(open(16, method().smallest_budget() - 1), UsageError);
  }
}

TEST_P(Contract, ABudgetAboveTheTextIsDense) {
  const auto ids = text();
  const auto dense = method_named("dense").open_stream(decoder_, {.chunk_size = 16});
  const at::Tensor expected = feed_all(*dense, ids);
  for (const int64_t budget : {kTokens, kTokens + 1, int64_t{100000}, std::numeric_limits<int64_t>::max()}) {
    const auto stream = open(16, budget);
    EXPECT_LE(relative_difference(feed_all(*stream, ids), expected), 1e-6) << budget;
    expect_same_state(*stream, *dense);
    EXPECT_EQ(stream->accounting().dropped_tokens, 0);
  }
}

TEST_P(Contract, TheAccountAgreesWithItselfAfterEveryStep) {
  const ModelConfig& config = decoder_->config();
  const auto ids = text();
  const auto stream = open();
  const int64_t element = at::elementSize(GetParam().dtype);
  Random random(3);
  int64_t peak = 0, slots = 0;
  const bool spans = writes_spans();
  for (int64_t fed = 0; fed < kTokens;) {
    const auto count = std::min<int64_t>(1 + static_cast<int64_t>(random.below(9)), kTokens - fed);
    stream->feed(std::span(ids).subspan(fed, count), LogitRows::none);
    fed += count;
    const Accounting a = stream->accounting();
    EXPECT_EQ(stream->tokens_seen(), fed);
    EXPECT_EQ(a.source_tokens, fed);
    const int64_t regular = method().expected_slots(options(), fed);
    slots = method().adds_single_tokens() && count == 1 ? slots + 1 : regular;
    EXPECT_EQ(a.slots, slots) << "after " << fed;
    const auto [least, most] = method().expected_bytes(options(), fed, config.slot_bytes(element));
    EXPECT_GE(a.memory_bytes, least + (slots - regular) * config.slot_bytes(element));
    EXPECT_LE(a.memory_bytes, most + (slots - regular) * config.slot_bytes(element));
    int64_t by_role = 0;
    for (const auto& [role, count] : a.slots_by_role) by_role += count;
    EXPECT_EQ(by_role, a.slots);
    EXPECT_FALSE(a.reading.empty());
    EXPECT_GE(a.allocated_bytes, a.memory_bytes);
    EXPECT_GE(a.peak_slots, a.slots);
    EXPECT_GE(a.peak_slots, peak);
    peak = a.peak_slots;

    const std::set<int64_t> held = represented(*stream, config);
    for (int64_t layer = 0; layer < config.layers; ++layer) {
      for (int64_t head = 0; head < config.kv_heads; ++head) {
        const auto kept = stream->kept_positions(layer, head);
        EXPECT_EQ(static_cast<int64_t>(kept.size()), spans ? fed - a.dropped_tokens : a.slots);
        for (size_t i = 1; i < kept.size(); ++i) EXPECT_LT(kept[i - 1], kept[i]);
      }
    }
    ASSERT_FALSE(held.empty());
    EXPECT_GE(*held.begin(), 0);
    EXPECT_LT(*held.rbegin(), fed);
    EXPECT_EQ(a.dropped_tokens, fed - static_cast<int64_t>(held.size()));
    std::set<int64_t> dropped;
    int64_t after = -1;
    for (const auto& [first, last] : a.dropped_ranges) {
      EXPECT_LE(first, last);
      EXPECT_GT(first, after) << "ranges ascend and do not touch";
      after = last + 1;
      for (int64_t position = first; position <= last; ++position) dropped.insert(position);
    }
    EXPECT_EQ(static_cast<int64_t>(dropped.size()), a.dropped_tokens);
    for (const int64_t position : dropped) EXPECT_FALSE(held.contains(position)) << position;
    EXPECT_EQ(static_cast<int64_t>(dropped.size() + held.size()), fed);
  }
}

TEST_P(Contract, LogitsComeAsAskedFor) {
  const auto ids = text();
  const auto all = open(), last = open(), none = open();
  const FeedResult rows = all->feed(ids, LogitRows::all), row = last->feed(ids, LogitRows::last);
  EXPECT_EQ(rows.first_position, 0);
  EXPECT_EQ(rows.logits.sizes(), (std::vector<int64_t>{kTokens, decoder_->config().vocab}));
  EXPECT_EQ(rows.logits.scalar_type(), at::kFloat);
  EXPECT_EQ(row.first_position, kTokens - 1);
  ASSERT_EQ(row.logits.sizes(), (std::vector<int64_t>{1, decoder_->config().vocab}));
  if (!method().query_aware()) {
    EXPECT_LE(relative_difference(row.logits[0], rows.logits[-1]), exact() ? 1e-6 : 0.01);
  }
  EXPECT_FALSE(none->feed(ids, LogitRows::none).logits.defined());
  if (!writes_spans()) expect_same_state(*all, *none);
  EXPECT_EQ(all->feed(std::span(ids).first(3), LogitRows::all).first_position, kTokens);
}

TEST_P(Contract, ChunksDoNotChangeTheResult) {
  if (!method().same_for_any_chunks()) GTEST_SKIP() << method().name() << " does not promise it";
  const auto ids = text();
  const auto whole = open(1000);
  const at::Tensor expected = feed_all(*whole, ids);
  for (const int64_t chunk : {1, 3, 7, 64}) {
    const auto stream = open(chunk);
    EXPECT_EQ(stream->chunk_size(), chunk);
    // In bf16 other shapes of the same products round differently; that is a smoke test.
    EXPECT_LE(relative_difference(feed_all(*stream, ids), expected), exact() ? 1e-4 : 0.1) << "chunk " << chunk;
    EXPECT_EQ(represented(*stream, decoder_->config()), represented(*whole, decoder_->config())) << "chunk " << chunk;
    // Feeding in pieces is chunking too.
    const auto pieces = open(chunk);
    EXPECT_LE(relative_difference(feed_all(*pieces, ids, 5), expected), exact() ? 1e-4 : 0.1)
        << "pieces, chunk " << chunk;
    EXPECT_EQ(represented(*pieces, decoder_->config()), represented(*whole, decoder_->config()));
  }
}

TEST_P(Contract, ProgressTellsEveryChunk) {
  const auto ids = text();
  std::vector<int64_t> told;
  open(16)->feed(ids, LogitRows::none, [&](int64_t done) { told.push_back(done); });
  EXPECT_EQ(told, (std::vector<int64_t>{16, 32, 48, 60}));
}

// Conversations of different lengths decoded in step: each as it would be alone.
TEST_P(Contract, StreamsReadTogetherAsTheyDoAlone) {
  std::vector<std::unique_ptr<Stream>> together, alone;
  std::vector<Stream*> pointers;
  for (const int64_t length : {int64_t{5}, int64_t{23}, kTokens}) {
    for (auto* list : {&together, &alone}) {
      list->push_back(open());
      feed_all(*list->back(), text(length, static_cast<uint64_t>(length)));
    }
    pointers.push_back(together.back().get());
  }
  const auto more = text(30, 9);
  for (size_t step = 0; step < 10; ++step) {
    const std::vector<TokenId> tokens = {more[step], more[step + 10], more[step + 20]};
    const auto results = feed_together(pointers, tokens, LogitRows::last);
    for (size_t i = 0; i < pointers.size(); ++i) {
      const FeedResult one = alone[i]->feed(std::span(tokens).subspan(i, 1), LogitRows::last);
      EXPECT_EQ(results[i].first_position, one.first_position);
      EXPECT_TRUE(same_bits(results[i].logits, one.logits)) << "stream " << i << " step " << step;
    }
  }
  for (size_t i = 0; i < pointers.size(); ++i) expect_same_state(*together[i], *alone[i]);
  const std::vector<TokenId> bad = {more[0], more[1], static_cast<TokenId>(decoder_->config().vocab)};
  EXPECT_THROW(feed_together(pointers, bad, LogitRows::last), InputError);
  for (size_t i = 0; i < pointers.size(); ++i) expect_same_state(*together[i], *alone[i]);
}

TEST_P(Contract, AForkIsIndependent) {
  const auto ids = text(), more = text(20, 2), other = text(30, 3);
  const auto original = open(), untouched = open();
  feed_all(*original, ids);
  feed_all(*untouched, ids);
  const auto fork = original->fork();
  expect_same_state(*fork, *original);
  const auto second = fork->fork();
  feed_all(*fork, other);  // past the budget: evictions move rows about
  expect_same_state(*original, *untouched);
  const at::Tensor expected = feed_all(*untouched, more);
  EXPECT_TRUE(same_bits(feed_all(*original, more), expected));
  EXPECT_TRUE(same_bits(feed_all(*second, more), expected));
  expect_same_state(*second, *original);
}

TEST_P(Contract, AForkOutlivesItsOriginal) {
  auto original = open();
  const auto ids = text();
  EXPECT_EQ(open()->fork()->tokens_seen(), 0);
  feed_all(*original, ids);
  const auto fork = original->fork();
  const at::Tensor expected = feed_all(*original, ids);
  original.reset();
  EXPECT_TRUE(same_bits(feed_all(*fork, ids), expected));
}

TEST_P(Contract, UnknownTokensChangeNothing) {
  const auto ids = text();
  const auto stream = open(), untouched = open();
  feed_all(*stream, ids);
  feed_all(*untouched, ids);
  const auto vocab = static_cast<TokenId>(decoder_->config().vocab);
  for (const TokenId bad :
       {vocab, TokenId{-1}, std::numeric_limits<TokenId>::max(), std::numeric_limits<TokenId>::min()}) {
    std::vector<TokenId> wrong = text(40, 4);  // in the third chunk, after good ones
    wrong[35] = bad;
    EXPECT_THROW(stream->feed(wrong, LogitRows::last), InputError) << bad;
  }
  expect_same_state(*stream, *untouched);
  EXPECT_TRUE(same_bits(feed_all(*stream, ids), feed_all(*untouched, ids)));
}

TEST_P(Contract, AnEmptyFeedIsNothing) {
  const auto ids = text();
  const auto stream = open(), untouched = open();
  EXPECT_FALSE(stream->feed({}, LogitRows::all).logits.defined());
  EXPECT_EQ(stream->tokens_seen(), 0);
  EXPECT_EQ(stream->accounting().slots, 0);
  EXPECT_TRUE(stream->accounting().dropped_ranges.empty());
  feed_all(*stream, ids);
  feed_all(*untouched, ids);
  EXPECT_FALSE(stream->feed({}, LogitRows::last).logits.defined());
  expect_same_state(*stream, *untouched);
  EXPECT_TRUE(same_bits(feed_all(*stream, ids), feed_all(*untouched, ids)));
}

TEST_P(Contract, TheSameTwice) {
  const auto ids = text();
  const auto first = open(), second = open();
  EXPECT_TRUE(same_bits(feed_all(*first, ids, 11), feed_all(*second, ids, 11)));
  expect_same_state(*first, *second);
}

TEST_P(Contract, ThreadsDoNotChangeWhatIsKept) {
  const auto ids = text();
  const int before = at::get_num_threads();
  const auto two = open(), one = open();
  at::set_num_threads(2);
  const at::Tensor expected = feed_all(*two, ids, 11);
  at::set_num_threads(1);
  const at::Tensor got = feed_all(*one, ids, 11);
  at::set_num_threads(before);
  EXPECT_LE(relative_difference(got, expected), exact() ? 1e-5 : 0.05);
  expect_same_state(*one, *two);
}

TEST_P(Contract, AnInterruptKeepsWhatWasRead) {
  const auto ids = text();
  const auto stream = open(16), untouched = open(16);
  install_interrupt_handler();
  EXPECT_THROW(stream->feed(ids, LogitRows::last,
                            [](int64_t done) {
                              if (done == 32) std::raise(SIGINT);
                            }),
               Interrupted);
  clear_interrupt();
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  feed_all(*untouched, std::span(ids).first(32));
  expect_same_state(*stream, *untouched);
  const auto rest = std::span(ids).subspan(32);
  EXPECT_TRUE(same_bits(feed_all(*stream, rest), feed_all(*untouched, rest)));
}

INSTANTIATE_TEST_SUITE_P(Methods, Contract, testing::ValuesIn(cases()), case_name);

TEST(Registry, NamesAreUniqueAndErrorsListTheNearestFirst) {
  std::set<std::string> names;
  for (const Method* method : methods()) EXPECT_TRUE(names.insert(method->name()).second) << method->name();
  try {
    method_named("windows");
    FAIL();
  } catch (const UsageError& error) {
    const std::string line = error.what();
    EXPECT_EQ(line.find("unknown method 'windows'; there are: window, "), 0u) << line;
    for (const std::string& name : names) EXPECT_NE(line.find(name), std::string::npos);
  }
  EXPECT_THROW(method_named(""), UsageError);
}

}  // namespace
}  // namespace steno
