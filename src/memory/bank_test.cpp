#include "memory/bank.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <map>
#include <numeric>
#include <set>

#include "base/error.h"

namespace steno {
namespace {

using Named = std::vector<std::pair<std::string, at::Tensor>>;

ModelConfig small_model() {
  ModelConfig config;
  config.layers = 3, config.kv_heads = 2, config.d_h = 4;
  return config;
}

// The number that stands in a key (side 0) or value (side 1): tells everything about where it belongs. Exact in bf16.
float cell(int side, int64_t layer, int64_t head, int64_t position, int64_t i) {
  return static_cast<float>((position * 7 + side * 3 + layer * 5 + head * 11 + i) % 251);
}

// Writes `count` rows for positions first, first + 1, ... as Decoder::run would.
void write(Bank& bank, int64_t first, int64_t count) {
  bank.reserve(count);
  const auto rows = bank.rows_for(count);
  std::vector<Slot> slots;
  for (int64_t t = 0; t < count; ++t)
    slots.push_back({first + t, (first + t) / 5, first, first + t, static_cast<double>(first + t) / 3,
                     (first + t) % 4 == 0 ? Role::utterance_end : Role::token});
  for (size_t layer = 0; layer < rows.size(); ++layer) {
    EXPECT_TRUE(rows[layer].in_place);
    EXPECT_EQ(rows[layer].used, bank.size(static_cast<int64_t>(layer)));
    for (int side = 0; side < 2; ++side) {
      const at::Tensor& all = side == 0 ? rows[layer].k : rows[layer].v;
      const at::Tensor mine = at::empty({1, all.size(1), count, all.size(3)}, at::kFloat);
      auto at = mine.accessor<float, 4>();
      for (int64_t h = 0; h < all.size(1); ++h)
        for (int64_t t = 0; t < count; ++t)
          for (int64_t i = 0; i < all.size(3); ++i)
            at[0][h][t][i] = cell(side, static_cast<int64_t>(layer), h, first + t, i);
      all.narrow(2, rows[layer].used, count).copy_(mine);
    }
  }
  bank.commit(slots);
}

// Every row of every tensor is that of its slot's position, and the positions are those of `model`.
void check_against(const Bank& bank, const std::set<int64_t>& model) {
  const auto positions = bank.table().positions();
  EXPECT_EQ((std::set<int64_t>(positions.begin(), positions.end())), model);
  EXPECT_EQ(bank.size(), static_cast<int64_t>(model.size()));
  const auto rows = bank.rows_for(0);
  for (size_t layer = 0; layer < rows.size(); ++layer) {
    for (int side = 0; side < 2; ++side) {
      const at::Tensor all = (side == 0 ? rows[layer].k : rows[layer].v).to(at::kFloat);
      auto at = all.accessor<float, 4>();
      for (int64_t row = 0; row < bank.size(); ++row)
        for (int64_t h = 0; h < all.size(1); ++h)
          for (int64_t i = 0; i < all.size(3); ++i)
            ASSERT_EQ(at[0][h][row][i],
                      cell(side, static_cast<int64_t>(layer), h, positions[static_cast<size_t>(row)], i));
    }
  }
  for (int64_t row = 0; row < bank.size(); ++row) {
    const Slot& slot = bank.table()[row];
    EXPECT_EQ(slot.segment, slot.position / 5);
    EXPECT_EQ(slot.mass, static_cast<double>(slot.position) / 3);
    EXPECT_EQ(slot.role, slot.position % 4 == 0 ? Role::utterance_end : Role::token);
  }
}

class BankOf : public testing::TestWithParam<at::ScalarType> {
 protected:
  Bank make() const { return Bank(small_model(), GetParam(), at::kCPU); }
};

TEST_P(BankOf, RandomOperationsAgreeWithASet) {
  EXPECT_TRUE(rc::check("bank", [&] {
    Bank bank = make();
    std::set<int64_t> model;
    int64_t next = 0;
    const int operations = *rc::gen::inRange(1, 12);
    for (int n = 0; n < operations; ++n) {
      switch (*rc::gen::inRange(0, 5)) {
        case 0:
        case 1: {
          const auto count = *rc::gen::inRange<int64_t>(1, 10);
          write(bank, next, count);
          for (int64_t i = 0; i < count; ++i) model.insert(next + i);
          next += count;
          break;
        }
        case 2: {
          std::vector<int64_t> victims;
          for (int64_t row = 0; row < bank.size(); ++row)
            if (*rc::gen::inRange(0, 3) == 0) victims.push_back(row);
          std::set<int64_t> gone;
          for (const int64_t row : victims) gone.insert(bank.table()[row].position);
          const Evicted evicted = bank.evict(victims);
          RC_ASSERT(evicted.slots.size() == gone.size());
          auto expected = gone.begin();
          for (const Slot& slot : evicted.slots) RC_ASSERT(slot.position == *expected++);
          for (const int64_t position : gone) model.erase(position);
          break;
        }
        case 3: {  // go on with a fork; what happens to the original is nothing to it
          Bank fork = bank.fork();
          write(bank, next + 1000, 3);
          bank.evict(std::vector<int64_t>{0});
          bank = std::move(fork);
          break;
        }
        case 4: {  // go on with what was saved
          Bank loaded = make();
          write(loaded, 5000, 2);
          loaded.load(bank.save());
          RC_ASSERT(loaded.table().positions() == bank.table().positions());
          bank = std::move(loaded);
          break;
        }
      }
      check_against(bank, model);
      RC_ASSERT(!testing::Test::HasFailure());
      RC_ASSERT(bank.memory_bytes() == bank.size() * small_model().slot_bytes(at::elementSize(GetParam())));
      RC_ASSERT(bank.allocated_bytes() >= bank.memory_bytes());
    }
  }));
}

TEST_P(BankOf, EvictingOneRowMovesTheLast) {
  Bank bank = make();
  write(bank, 0, 6);
  EXPECT_EQ(bank.evict(std::vector<int64_t>{2}).slots[0].position, 2);
  EXPECT_EQ(bank.table().positions(), (std::vector<int64_t>{0, 1, 5, 3, 4}));
  check_against(bank, {0, 1, 3, 4, 5});
  EXPECT_TRUE(bank.evict({}).slots.empty());
}

// Every table loses other slots: the payload of a head follows its own table, and a fork and a saved file too.
class SharedBank : public testing::TestWithParam<std::tuple<Sharing, at::ScalarType>> {};

void check_tables(const Bank& bank, const std::vector<std::set<int64_t>>& model) {
  const ModelConfig config = small_model();
  const auto rows = bank.rows_for(0);
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    for (int64_t head = 0; head < config.kv_heads; ++head) {
      const int64_t index = bank.table_of(layer, head);
      const SlotTable& table = bank.table(index);
      const auto positions = table.positions();
      EXPECT_EQ((std::set<int64_t>(positions.begin(), positions.end())), model[static_cast<size_t>(index)]);
      EXPECT_EQ(table.size(), bank.size(layer));
      for (int side = 0; side < 2; ++side) {
        const LayerRows& r = rows[static_cast<size_t>(layer)];
        EXPECT_EQ(r.used, bank.size(layer));
        const at::Tensor all = (side == 0 ? r.k : r.v).to(at::kFloat);
        auto at = all.accessor<float, 4>();
        for (int64_t row = 0; row < table.size(); ++row) {
          EXPECT_EQ(table[row].mass, static_cast<double>(table[row].position) / 3);
          for (int64_t i = 0; i < all.size(3); ++i)
            ASSERT_EQ(at[0][head][row][i], cell(side, layer, head, table[row].position, i));
        }
      }
    }
  }
}

TEST_P(SharedBank, RandomEvictionsAgreeWithSets) {
  const auto [sharing, type] = GetParam();
  const auto make = [&] { return Bank(small_model(), type, at::kCPU, sharing); };
  EXPECT_TRUE(rc::check("tables", [&] {
    Bank bank = make();
    std::vector<std::set<int64_t>> model(static_cast<size_t>(bank.tables()));
    RC_ASSERT(bank.tables() == (sharing == Sharing::model ? 1 : sharing == Sharing::layer ? 3 : 6));
    int64_t next = 0;
    const int operations = *rc::gen::inRange(1, 10);
    for (int n = 0; n < operations; ++n) {
      const auto count = *rc::gen::inRange<int64_t>(1, 10);
      write(bank, next, count);
      for (auto& set : model)
        for (int64_t i = 0; i < count; ++i) set.insert(next + i);
      next += count;
      std::vector<std::vector<int64_t>> victims(model.size());
      int64_t layer_victims = 0;
      for (size_t i = 0; i < model.size(); ++i) {
        // Heads of a layer lose equally many, layers need not.
        const int64_t heads = sharing == Sharing::head ? 2 : 1;
        const int64_t size = bank.table(static_cast<int64_t>(i)).size();
        if (static_cast<int64_t>(i) % heads == 0) layer_victims = *rc::gen::inRange<int64_t>(0, size + 1);
        std::vector<int64_t> rows(static_cast<size_t>(size));
        std::iota(rows.begin(), rows.end(), 0);
        for (int64_t v = 0; v < layer_victims; ++v) {
          const auto pick = *rc::gen::inRange<size_t>(0, rows.size());
          victims[i].push_back(rows[pick]);
          rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(pick));
        }
        for (const int64_t row : victims[i]) model[i].erase(bank.table(static_cast<int64_t>(i))[row].position);
      }
      bank.evict_each(victims);
      check_tables(bank, model);
      Bank loaded = make();
      write(loaded, 5000, 2);
      loaded.load(bank.save());
      check_tables(loaded, model);
      RC_ASSERT(loaded.memory_bytes() == bank.memory_bytes());
      RC_ASSERT(loaded.allocated_bytes() == bank.memory_bytes());
      bank = n % 2 == 0 ? bank.fork() : std::move(loaded);
      check_tables(bank, model);
      RC_ASSERT(!testing::Test::HasFailure());
    }
  }));
}

std::string shared_name(const testing::TestParamInfo<std::tuple<Sharing, at::ScalarType>>& info) {
  const char* names[] = {"model_", "layer_", "head_"};
  return names[static_cast<int>(std::get<0>(info.param))] + std::string(toString(std::get<1>(info.param)));
}
INSTANTIATE_TEST_SUITE_P(Sharings, SharedBank,
                         testing::Combine(testing::Values(Sharing::model, Sharing::layer, Sharing::head),
                                          testing::Values(at::kFloat, at::kBFloat16)),
                         shared_name);

TEST(Bank, HeadsOfALayerLoseEquallyManyRows) {
  Bank bank(small_model(), at::kFloat, at::kCPU, Sharing::head);
  write(bank, 0, 4);
  std::vector<std::vector<int64_t>> victims = {{0}, {1, 2}, {}, {}, {3}, {0}};
  EXPECT_THROW(bank.evict_each(victims), c10::Error);
  victims[1].pop_back();
  bank.evict_each(victims);
  EXPECT_EQ(bank.size(0), 3);
  EXPECT_EQ(bank.size(1), 4);
  EXPECT_EQ(bank.table(1).positions(), (std::vector<int64_t>{0, 3, 2}));
  EXPECT_THROW(bank.evict(std::vector<int64_t>{0}), c10::Error);
}

TEST(Bank, LoadRefusesTablesOfAnotherSharing) {
  for (const Sharing saved : {Sharing::model, Sharing::layer, Sharing::head}) {
    Bank from(small_model(), at::kFloat, at::kCPU, saved);
    write(from, 0, 5);
    for (const Sharing into : {Sharing::model, Sharing::layer, Sharing::head}) {
      Bank bank(small_model(), at::kFloat, at::kCPU, into);
      if (into == saved)
        EXPECT_NO_THROW(bank.load(from.save()));
      else
        EXPECT_THROW(bank.load(from.save()), InputError);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, BankOf, testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& info) { return std::string(toString(info.param)); });

TEST(Bank, GrowsByHalfAndNeverShrinks) {
  Bank bank(small_model(), at::kFloat, at::kCPU);
  const int64_t slot = small_model().slot_bytes(4);
  EXPECT_EQ(bank.allocated_bytes(), 0);
  bank.reserve(10);
  EXPECT_EQ(bank.allocated_bytes(), 10 * slot);
  EXPECT_EQ(bank.memory_bytes(), 0);
  write(bank, 0, 10);
  EXPECT_EQ(bank.allocated_bytes(), 10 * slot);
  write(bank, 10, 1);
  EXPECT_EQ(bank.allocated_bytes(), 15 * slot);
  write(bank, 11, 20);
  EXPECT_EQ(bank.allocated_bytes(), 31 * slot) << "more than half at once";
  check_against(bank, [] {
    std::set<int64_t> all;
    for (int64_t i = 0; i < 31; ++i) all.insert(i);
    return all;
  }());
  std::vector<int64_t> rows(30);
  std::iota(rows.begin(), rows.end(), 0);
  bank.evict(rows);
  EXPECT_EQ(bank.allocated_bytes(), 31 * slot);
  EXPECT_EQ(bank.memory_bytes(), slot);
  EXPECT_EQ(bank.fork().allocated_bytes(), slot) << "a fork takes only what is kept";
}

TEST(Bank, RowsNeedRoom) {
  Bank bank(small_model(), at::kFloat, at::kCPU);
  EXPECT_THROW(bank.rows_for(1), c10::Error);
}

TEST(Bank, MoreThanThereIsOfMemoryIsAResourceError) {
  Bank bank(small_model(), at::kFloat, at::kCPU);
  write(bank, 0, 4);
  for (const int64_t tokens : {int64_t{1} << 44, int64_t{1} << 60})
    EXPECT_THROW(bank.reserve(tokens), ResourceError) << tokens;
  check_against(bank, {0, 1, 2, 3});
  write(bank, 4, 4);
  check_against(bank, {0, 1, 2, 3, 4, 5, 6, 7});
}

// The message of load() for tensors of which `name` was changed (undefined: left out).
std::string refusal(const std::string& name, const at::Tensor& tensor) {
  Bank saved(small_model(), at::kFloat, at::kCPU);
  write(saved, 0, 5);
  Named tensors;
  bool found = false;
  for (auto& item : saved.save()) {
    found |= item.first == name;
    if (item.first != name)
      tensors.push_back(item);
    else if (tensor.defined())
      tensors.emplace_back(name, tensor);
  }
  EXPECT_TRUE(found) << name;
  Bank bank(small_model(), at::kFloat, at::kCPU);
  write(bank, 100, 2);
  std::string line;
  try {
    bank.load(tensors);
    ADD_FAILURE() << name << " was accepted";
  } catch (const InputError& error) {
    line = error.what();
  }
  check_against(bank, {100, 101});  // nothing was taken over
  EXPECT_NE(line.find(name), std::string::npos) << line;
  return line;
}

TEST(Bank, LoadRefusesWhatDoesNotFit) {
  for (const char* name :
       {"k.0", "v.2", "slot.position", "slot.segment", "slot.born", "slot.last_use", "slot.role", "slot.mass"})
    EXPECT_EQ(refusal(name, {}), fmt::format("tensor '{}' is missing", name));
  EXPECT_EQ(refusal("k.1", at::zeros({2, 5, 4}, at::kBFloat16)), "tensor 'k.1' is BFloat16, expected Float");
  EXPECT_EQ(refusal("slot.position", at::zeros({5}, at::kInt)), "tensor 'slot.position' is Int, expected Long");
  for (const std::vector<int64_t>& shape :
       std::vector<std::vector<int64_t>>{{2, 4, 4}, {3, 5, 4}, {2, 5, 3}, {1, 2, 5, 4}, {40}})
    EXPECT_EQ(refusal("v.1", at::zeros(shape)), "tensor 'v.1' does not fit the model");
  EXPECT_EQ(refusal("slot.born", at::zeros({4}, at::kLong)), "tensor 'slot.born' does not have 5 entries");
  EXPECT_EQ(refusal("slot.position", at::zeros({1, 5}, at::kLong)), "tensor 'slot.position' does not have 5 entries");
  refusal("slot.mass", at::zeros({6}, at::kDouble));
}

TEST(Bank, LoadRefusesARoleThatIsNone) {
  Bank saved(small_model(), at::kFloat, at::kCPU);
  write(saved, 0, 5);
  for (const int64_t role : {int64_t{-1}, int64_t{3}, int64_t{256}}) {
    Named tensors = saved.save();
    for (auto& [name, tensor] : tensors)
      if (name == "slot.role") tensor = at::full({5}, role, at::kLong);
    Bank bank(small_model(), at::kFloat, at::kCPU);
    EXPECT_THROW(bank.load(tensors), InputError) << role;
  }
}

TEST(Bank, LoadedTensorsAreItsOwn) {
  Bank saved(small_model(), at::kFloat, at::kCPU);
  write(saved, 0, 5);
  const Named tensors = saved.save();
  Bank bank(small_model(), at::kFloat, at::kCPU);
  bank.load(tensors);
  for (const auto& [name, tensor] : tensors) tensor.zero_();
  check_against(bank, {0, 1, 2, 3, 4});
}

}  // namespace
}  // namespace steno
