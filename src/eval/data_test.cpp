#include "eval/data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "eval/eval_test_util.h"

namespace steno {
namespace {

using test::eval_data;
using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(DataFiles, SaysWhatToDoWithoutData) {
  const char* old = std::getenv("STENO_DATA");
  const std::string before = old ? old : "";
  DataFiles files("[eval] ppl", {{"data", "books.jsonl.zst", "documents"}, {"essays", "essays.jsonl.zst", "essays"}},
                  {}, {});
  ::unsetenv("STENO_DATA");
  EXPECT_THAT([&] { files.path("data"); },
              ThrowsMessage<UsageError>(
                  AllOf(HasSubstr("--data FILE"), HasSubstr("STENO_DATA"), HasSubstr("books.jsonl.zst"))));
  EXPECT_THAT([&] { files.path("essays"); }, ThrowsMessage<UsageError>(HasSubstr("--data essays=FILE")));
  EXPECT_FALSE(files.can_find("data"));
  ::setenv("STENO_DATA", eval_data("").c_str(), 1);
  EXPECT_THAT([&] { files.path("data"); }, ThrowsMessage<UsageError>(HasSubstr("is not there")));
  DataFiles found("[eval] qa", {{"data", "qa.jsonl", "questions"}}, {}, {{.limit = 2}});
  EXPECT_EQ(found.records_of<QaRecord>("data").size(), 2u);
  EXPECT_EQ(found.records_of<QaRecord>("data", true).size(), 5u);
  EXPECT_EQ(found.sources().size(), 2u);
  old ? ::setenv("STENO_DATA", before.c_str(), 1) : ::unsetenv("STENO_DATA");
}

TEST(DataFiles, SpreadTakesRecordsFromTheWholeFile) {
  const auto ids = [](int64_t limit, bool spread) {
    DataFiles files("[eval] qa", {{"data", "", "questions"}}, {{"data", eval_data("qa.jsonl")}},
                    {{.limit = limit}, spread});
    std::vector<std::string> ids;
    for (const QaRecord& record : files.records_of<QaRecord>("data")) ids.push_back(record.id);
    EXPECT_EQ(files.sources()[0].records, static_cast<int64_t>(ids.size()));
    return ids;
  };
  const auto all = ids(0, false);
  EXPECT_EQ(ids(2, false), (std::vector<std::string>{all[0], all[1]}));
  EXPECT_EQ(ids(2, true), (std::vector<std::string>{all[0], all[2]}));
  EXPECT_EQ(ids(3, true), (std::vector<std::string>{all[0], all[1], all[3]}));
  EXPECT_EQ(ids(5, true), all);
  EXPECT_EQ(ids(9, true), all);
}

}  // namespace
}  // namespace steno
