// Which tokens an example is: cutting, joining and leaving out, in integers only.
#pragma once
#include <cstdint>
#include <vector>

#include "io/json.h"
#include "train/example_source.h"
#include "train/token_records.h"

namespace steno {

struct ExampleSpan {
  int32_t table;         // which TokenRecords
  int64_t record;        // in it
  int64_t begin, count;  // tokens of a text; not used for questions
};

struct ExampleCounts {
  int64_t texts = 0, questions = 0;     // read
  int64_t cut = 0, pieces = 0;          // texts that were cut, and the pieces they became
  int64_t joined = 0;                   // texts and pieces that share an example with others
  int64_t too_short = 0, too_long = 0;  // examples left out by min_tokens and max_tokens
  int64_t tokens_left_out = 0;          // in those
  Json to_json() const;
};

struct ExamplePlan {
  // Example i is spans[first[i]] .. spans[first[i + 1]], one after the other; a question is one span.
  std::vector<ExampleSpan> spans;
  std::vector<int64_t> first = {0};
  ExampleCounts counts;
  int64_t size() const { return static_cast<int64_t>(first.size()) - 1; }
};

// `config` is checked already.
ExamplePlan plan_examples(const std::vector<TokenRecords>& tables, const DataConfig& config);

}  // namespace steno
