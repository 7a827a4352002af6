#include "cli/accounting.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace steno {
namespace {

using testing::HasSubstr;

RunReport example() {
  RunReport report;
  report.memory.source_tokens = 8536;
  report.memory.slots = 256;
  report.memory.dropped_tokens = 8280;
  report.memory.dropped_ranges = {{4, 8283}};
  report.memory.memory_bytes = 5898240;
  report.read_tokens = 8536;
  report.read_s = 4;
  report.first_token_s = 0.25;
  report.decoded_tokens = 30;
  report.decode_s = 2;
  return report;
}

TEST(Accounting, DroppedTokensAreSaidInWords) {
  EXPECT_EQ(kept_text(example().memory), "kept 256 of 8,536 tokens; dropped tokens 4..8283");
  Accounting all;
  all.source_tokens = 12;
  EXPECT_EQ(kept_text(all), "kept all 12 tokens");
  Accounting scattered;
  scattered.source_tokens = 100;
  scattered.dropped_tokens = 12;
  scattered.dropped_ranges = {{1, 1}, {3, 5}, {7, 7}, {9, 14}, {20, 20}, {30, 30}};
  EXPECT_EQ(kept_text(scattered), "kept 88 of 100 tokens; dropped tokens 1, 3..5, 7, 9..14 and 2 more ranges");
}

TEST(Accounting, TextNamesEveryFigure) {
  const std::string text = report_text(example());
  EXPECT_THAT(text, HasSubstr("read    8,536 tokens in 4.00 s (2,134 tokens/s)"));
  EXPECT_THAT(text, HasSubstr("256 slots per layer, 5.9 MB, ratio 33.3"));
  EXPECT_THAT(text, HasSubstr("first token after 0.25 s, then 15.0 tokens/s"));
  EXPECT_THAT(text, HasSubstr("peak resident memory"));
}

TEST(Accounting, JsonHasTheDocumentedKeys) {
  const Json json = report_json(example());
  for (const char* key : {"source_tokens", "slots", "dropped_tokens", "memory_bytes", "ratio", "read_s",
                          "read_tokens_per_s", "first_token_s", "decode_tokens_per_s", "peak_rss_bytes"})
    EXPECT_TRUE(json.contains(key)) << key;
  EXPECT_EQ(json["dropped_ranges"].dump(), "[[4,8283]]");
  EXPECT_DOUBLE_EQ(json["read_tokens_per_s"], 2134);
  EXPECT_DOUBLE_EQ(json["decode_tokens_per_s"], 15);
  EXPECT_GT(json["peak_rss_bytes"].get<int64_t>(), 0);
}

TEST(Accounting, NothingDecodedIsNoDivisionByZero) {
  RunReport report = example();
  report.decode_s = 0;
  report.read_s = 0;
  EXPECT_EQ(report_json(report)["decode_tokens_per_s"], 0);
  EXPECT_EQ(report_json(report)["read_tokens_per_s"], 0);
}

}  // namespace
}  // namespace steno
