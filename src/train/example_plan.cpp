#include "train/example_plan.h"

#include <algorithm>

#include "train/cut_text.h"

namespace steno {
namespace {

class Planner {
 public:
  explicit Planner(const DataConfig& config) : config_(config) {}

  void question(const ExampleSpan& span, const TokenRecords& table) {
    ++plan_.counts.questions;
    close();
    const int64_t parts = table.parts_of(span.record);
    int64_t answer = table.length(span.record, 2);
    if (config_.answer == "random")
      for (int64_t part = 3; part < parts; ++part) answer = std::max(answer, table.length(span.record, part));
    const int64_t tokens = table.length(span.record, 0) + table.length(span.record, 1) + answer;
    if (config_.max_tokens > 0 && tokens > config_.max_tokens) return leave_out(plan_.counts.too_long, tokens);
    open_.push_back(span);
    open_tokens_ = tokens;
    close();
  }

  void text(ExampleSpan span, const TokenRecords& table) {
    ++plan_.counts.texts;
    const auto pieces = cut_text(table.length(span.record, 0), config_.piece);
    if (pieces.size() > 1) ++plan_.counts.cut, plan_.counts.pieces += static_cast<int64_t>(pieces.size());
    for (const auto& [begin, count] : pieces) {
      span.begin = begin, span.count = count;
      if (config_.packing == 0 || open_tokens_ + count + 1 > config_.packing) close();
      if (!open_.empty()) ++open_tokens_;  // EOS between
      open_.push_back(span);
      open_tokens_ += count;
    }
  }

  ExamplePlan finish() {
    close();
    return std::move(plan_);
  }

 private:
  void leave_out(int64_t& count, int64_t tokens) {
    ++count;
    plan_.counts.tokens_left_out += tokens;
  }

  void close() {
    if (open_.empty()) return;
    if (open_tokens_ < config_.min_tokens) {
      leave_out(plan_.counts.too_short, open_tokens_);
    } else {
      if (open_.size() > 1) plan_.counts.joined += static_cast<int64_t>(open_.size());
      plan_.spans.insert(plan_.spans.end(), open_.begin(), open_.end());
      plan_.first.push_back(static_cast<int64_t>(plan_.spans.size()));
    }
    open_.clear();
    open_tokens_ = 0;
  }

  const DataConfig& config_;
  ExamplePlan plan_;
  std::vector<ExampleSpan> open_;  // the example that is being put together
  int64_t open_tokens_ = 0;
};

}  // namespace

Json ExampleCounts::to_json() const {
  return {{"texts", texts},   {"questions", questions}, {"cut", cut},           {"pieces", pieces},
          {"joined", joined}, {"too_short", too_short}, {"too_long", too_long}, {"tokens_left_out", tokens_left_out}};
}

ExamplePlan plan_examples(const std::vector<TokenRecords>& tables, const DataConfig& config) {
  Planner planner(config);
  for (size_t t = 0; t < tables.size(); ++t) {
    for (int64_t record = 0; record < tables[t].size(); ++record) {
      const ExampleSpan span{static_cast<int32_t>(t), record, 0, 0};
      if (tables[t].parts_of(record) == 1)
        planner.text(span, tables[t]);
      else
        planner.question(span, tables[t]);
    }
  }
  return planner.finish();
}

}  // namespace steno
