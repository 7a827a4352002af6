#include <gtest/gtest.h>

#include "metrics/golden_test_util.h"
#include "metrics/qa_match.h"
#include "metrics/string_match.h"

namespace steno {
namespace {

TEST(MatchGolden, OfficialScriptsOfQuestionAnswering) {
  const auto pairs = golden_pairs();
  const nlohmann::json rows = read_golden("match.json", "qa");
  for (int dialect = 0; dialect < 3; ++dialect) {
    constexpr const char* kNames[] = {"squad", "trivia", "hotpot"};
    const auto& row = rows.at(dialect);
    ASSERT_EQ(row.at("dialect"), kNames[dialect]);
    for (size_t i = 0; i < pairs.size(); ++i) {
      SCOPED_TRACE(pairs[i].hypothesis + " / " + pairs[i].references[0] + " / " + kNames[dialect]);
      const auto& golden = row.at("scores").at(i);
      EXPECT_EQ(normalise_answer(pairs[i].hypothesis, QaDialect(dialect)), golden.at(0).get<std::string>());
      const QaScore score = score_answer(pairs[i].hypothesis, pairs[i].references, QaDialect(dialect));
      EXPECT_EQ(score.exact, golden.at(1).get<double>());
      EXPECT_NEAR(score.f1, golden.at(2), 1e-6);
      EXPECT_EQ(score.substring, golden.at(3).get<double>());
    }
  }
}

TEST(MatchGolden, Ruler) {
  const auto pairs = golden_pairs();
  const nlohmann::json rows = read_golden("match.json", "ruler");
  for (size_t i = 0; i < pairs.size(); ++i) {
    const std::vector<std::string> wanted = rows.at(i).at("wanted");
    EXPECT_NEAR(string_match_all(pairs[i].hypothesis, wanted), rows.at(i).at("all"), 1e-6) << pairs[i].hypothesis;
    EXPECT_EQ(string_match_part(pairs[i].hypothesis, wanted), rows.at(i).at("part").get<double>());
  }
}

}  // namespace
}  // namespace steno
