#include "train/example_source.h"

#include "base/error.h"
#include "base/fields.h"
#include "io/file_hash.h"
#include "train/example_plan.h"
#include "train/sample_order.h"
#include "train/token_shards.h"
#include "train/tokenise_records.h"

namespace steno {
namespace {

constexpr uint64_t kAnswerChoice = 1;  // purpose of sample_random

class PlannedExamples : public ExampleSource {
 public:
  PlannedExamples(std::vector<TokenRecords> tables, ExamplePlan plan, bool random_answer, TokenId eos, Json summary)
      : tables_(std::move(tables)),
        plan_(std::move(plan)),
        random_answer_(random_answer),
        eos_(eos),
        summary_(std::move(summary)) {}

  int64_t size() const override { return plan_.size(); }
  Json summary() const override { return summary_; }

  Example at(uint64_t sample, uint64_t seed) const override {
    const uint64_t i = example_of_sample(sample, static_cast<uint64_t>(size()), seed);
    const auto begin = static_cast<size_t>(plan_.first[i]), end = static_cast<size_t>(plan_.first[i + 1]);
    const ExampleSpan& span = plan_.spans[begin];
    const TokenRecords& table = tables_[static_cast<size_t>(span.table)];
    Example example;
    example.sample = sample;
    if (table.parts_of(span.record) > 1) {
      example.parts = {table.part(span.record, 0), table.part(span.record, 1),
                       table.part(span.record, 2 + answer_of(table.parts_of(span.record) - 2, sample, seed))};
      return example;
    }
    std::vector<TokenId>& text = example.parts.emplace_back();
    for (size_t s = begin; s < end; ++s) {
      if (s > begin) text.push_back(eos_);
      const ExampleSpan& piece = plan_.spans[s];
      tables_[static_cast<size_t>(piece.table)].append(piece.record, 0, piece.begin, piece.count, text);
    }
    return example;
  }

 private:
  int64_t answer_of(int64_t answers, uint64_t sample, uint64_t seed) const {
    if (!random_answer_) return 0;
    return static_cast<int64_t>(sample_random(seed, sample, kAnswerChoice).below(static_cast<uint64_t>(answers)));
  }

  std::vector<TokenRecords> tables_;
  ExamplePlan plan_;
  bool random_answer_;
  TokenId eos_;
  Json summary_;
};

void check(const DataConfig& config, const Tokenizer& tokenizer) {
  for (const auto& [name, value] : {std::pair{"piece", config.piece},
                                    {"packing", config.packing},
                                    {"min_tokens", config.min_tokens},
                                    {"max_tokens", config.max_tokens}})
    if (value < 0) throw UsageError("[data] {} = {}: a number of tokens is not negative", name, value);
  if (config.answer != "first" && config.answer != "random")
    throw UsageError("[data] answer = '{}': first or random", config.answer);
  if (config.piece > 0 && config.packing > config.piece)
    throw UsageError("[data] packing = {} would join again what piece = {} cuts; make it no larger", config.packing,
                     config.piece);
  if (config.packing > 0 && !tokenizer.eos())
    throw InputError("[data] packing puts EOS between texts, and the model's tokenizer has none; set packing = 0");
}

}  // namespace

std::unique_ptr<const ExampleSource> open_examples(const std::vector<std::filesystem::path>& files,
                                                   std::shared_ptr<const Tokenizer> tokenizer,
                                                   const DataConfig& config) {
  check(config, *tokenizer);
  std::vector<TokenRecords> tables;
  Json sources = Json::array();
  std::string identity = hash_tokenizer(*tokenizer) + "\n";
  for (const auto& [name, value] : field_values(config)) identity += name + " = " + value + "\n";
  for (const auto& file : files) {
    if (is_shard_name(file)) {
      TokenShard shard = open_shard(file, *tokenizer);
      sources.push_back({{"name", shard.name},
                         {"checksum", shard.checksum},
                         {"records", shard.records.size()},
                         {"tokens", shard.records.total_tokens()},
                         {"made_from", shard.sources}});
      identity += shard.checksum + "\n";
      tables.push_back(std::move(shard.records));
    } else {
      TokenRecordsBuilder builder(tokenizer->vocab_size());
      const TokenisedSource read = tokenise_file(file, *tokenizer, {.skip_bad = config.skip_bad},
                                                 [&](const RecordParts& parts) { builder.add(parts); });
      sources.push_back(read.to_json());
      identity += read.source.hash + "\n";
      tables.push_back(builder.finish());
    }
  }
  ExamplePlan plan = plan_examples(tables, config);
  const Json counts = plan.counts.to_json();
  if (plan.size() == 0)
    throw InputError("[data] no examples are left of {} files ({}); see min_tokens and max_tokens", files.size(),
                     counts.dump());
  Json summary = {{"examples", plan.size()}, {"identity", hash_bytes(identity)}, {"files", sources}};
  summary.update(counts);
  return std::make_unique<PlannedExamples>(std::move(tables), std::move(plan), config.answer == "random",
                                           tokenizer->eos().value_or(0), std::move(summary));
}

}  // namespace steno
