#include "methods/h2o/h2o.h"

#include <gtest/gtest.h>

#include "methods/h2o/h2o_rule.h"
#include "methods/score_reference_test_util.h"

namespace steno {
namespace {

using test::ScoreReference;

// A(j): sum over all queries of what they gave to j, mean over the query heads of the group.
test::NaivePolicy naive(int64_t budget, int64_t recent, bool mean = false, int64_t start = 0) {
  test::NaivePolicy policy{.budget = budget};
  policy.scores = [mean](const ScoreReference& r, int64_t layer, int64_t head) {
    auto sums = test::as_doubles(r.shares(layer).narrow(0, head * r.group(), r.group()).mean(0).sum(0));
    if (mean)
      for (size_t j = 0; j < sums.size(); ++j) sums[j] /= static_cast<double>(sums.size() - j);
    return sums;
  };
  policy.immunity = [recent, start](const ScoreReference& r, int64_t j) {
    return j < start ? 2 : j >= r.seen() - recent ? 1 : 0;
  };
  return policy;
}

TEST(H2o, EqualsTheReferenceThatStoresEverything) {
  for (const test::ScoreCase& c : test::score_cases()) {
    test::expect_same_as_reference(*h2o_method(), {.budget = 12}, naive(12, 6), c);
    test::expect_same_as_reference(*h2o_method(), {.budget = 9, .params = {{"score", "mean"}, {"recent", "0.3"}}},
                                   naive(9, 3, true), c);
  }
  test::expect_same_as_reference(*h2o_method(), {.budget = 11, .params = {{"start", "3"}, {"recent", "0"}}},
                                 naive(11, 0, false, 3), {.chunk = 5});
}

// Budget 4: two heavy, two recent. Rows are what each query gives to the slots that are there.
TEST(H2o, SixTokensByHand) {
  const auto run = [](MassScore kind) {
    const HeavyHitters rule({.slots = 4, .recent = 2}, kind);
    SlotTable table;
    std::vector<std::set<int64_t>> kept;
    const std::vector<std::map<int64_t, float>> given = {
        {{0, 1.0f}},
        {{0, 0.6f}, {1, 0.4f}},
        {{0, 0.5f}, {1, 0.1f}, {2, 0.4f}},
        {{0, 0.3f}, {1, 0.1f}, {2, 0.4f}, {3, 0.2f}},
        {{0, 0.1f}, {1, 0.2f}, {2, 0.3f}, {3, 0.1f}, {4, 0.3f}},
        {{0, 0.0f}, {2, 0.05f}, {3, 0.65f}, {4, 0.2f}, {5, 0.1f}},
    };
    for (size_t t = 0; t < given.size(); ++t) {
      const auto position = static_cast<int64_t>(t);
      table.append({position, 0, position, position, 0, Role::token});
      std::vector<float> received;
      for (int64_t row = 0; row < table.size(); ++row) received.push_back(given[t].at(table[row].position));
      rule.observe(table, received, position);
      table.evict(rule.victims(table, position + 1));
      const auto positions = table.positions();
      kept.emplace_back(positions.begin(), positions.end());
    }
    // The scores go with their slots.
    EXPECT_EQ(table.size(), 4);
    for (int64_t row = 0; row < table.size(); ++row)
      if (table[row].position == 0) {
        EXPECT_NEAR(table[row].mass, 2.5, 1e-6);
      }
    return kept;
  };
  using Sets = std::vector<std::set<int64_t>>;
  // After the fifth token A = 2.5, 0.8, 1.1 before the recent 3 and 4: token 1 leaves. After the sixth A = 2.5, 1.15,
  // 0.95 for 0, 2, 3: token 3 leaves.
  EXPECT_EQ(run(MassScore::sum), (Sets{{0}, {0, 1}, {0, 1, 2}, {0, 1, 2, 3}, {0, 2, 3, 4}, {0, 2, 4, 5}}));
  // Per query that could read them: 2.5 / 6, 1.15 / 4, 0.95 / 3: token 2 leaves.
  EXPECT_EQ(run(MassScore::mean), (Sets{{0}, {0, 1}, {0, 1, 2}, {0, 1, 2, 3}, {0, 2, 3, 4}, {0, 3, 4, 5}}));
}

TEST(H2o, HeadsKeepTheirOwnTheRecentStayAndNothingReturns) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = test::random_ids(*decoder, 80, 3);
  for (const int64_t chunk : {1, 7}) {
    const auto stream = h2o_method()->open_stream(decoder, {.budget = 10, .chunk_size = chunk});
    std::map<std::pair<int64_t, int64_t>, std::set<int64_t>> before;
    bool heads_differ = false;
    for (int64_t fed = 0; fed < 77; fed += chunk) {
      stream->feed(std::span(ids).subspan(static_cast<size_t>(fed), static_cast<size_t>(chunk)), LogitRows::none);
      for (int64_t layer = 0; layer < 2; ++layer) {
        for (int64_t head = 0; head < 2; ++head) {
          const auto kept = stream->kept_positions(layer, head);
          for (int64_t back = 0; back < std::min<int64_t>(5, fed + chunk); ++back)
            EXPECT_EQ(kept[kept.size() - 1 - static_cast<size_t>(back)], fed + chunk - 1 - back);
          auto& known = before[{layer, head}];
          for (const int64_t position : kept)
            if (position < fed) {
              EXPECT_TRUE(known.contains(position)) << position << " returned";
            }
          known = {kept.begin(), kept.end()};
        }
        heads_differ |= stream->kept_positions(layer, 0) != stream->kept_positions(layer, 1);
      }
    }
    EXPECT_TRUE(heads_differ);
    using Roles = std::map<std::string, int64_t>;
    EXPECT_EQ(stream->accounting().slots_by_role, (Roles{{"heavy", 5}, {"recent", 5}}));
  }
}

TEST(H2o, AllRecentIsTheWindow) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto ids = test::random_ids(*decoder, 60, 4);
  const auto stream = h2o_method()->open_stream(decoder, {.budget = 8, .chunk_size = 1, .params = {{"recent", "1"}}});
  const auto window = method_named("window").open_stream(decoder, {.budget = 8, .params = {{"order", "attend-first"}}});
  EXPECT_LE(test::relative_difference(test::feed_all(*stream, ids), test::feed_all(*window, ids)), 1e-5);
}

TEST(H2o, ParametersThatMakeNoSense) {
  const auto decoder = test::tiny_decoder("llama_tied");
  const auto open = [&](int64_t budget, FieldValues params) {
    return h2o_method()->open_stream(decoder, {.budget = budget, .params = std::move(params)});
  };
  for (const char* share : {"-0.1", "1.5", "nan"}) EXPECT_THROW(open(8, {{"recent", share}}), UsageError) << share;
  EXPECT_THROW(open(8, {{"start", "-1"}}), UsageError);
  EXPECT_THROW(open(8, {{"start", "9223372036854775807"}}), UsageError);
  EXPECT_THROW(open(8, {{"score", "max"}}), UsageError);
  try {
    open(5, {{"start", "4"}});
    ADD_FAILURE();
  } catch (const UsageError& error) {
    EXPECT_STREQ(error.what(),
                 "[h2o] budget is 5 with 4 start slots, a heavy hitter and the newest token; it must be at least 6");
  }
}

}  // namespace
}  // namespace steno
