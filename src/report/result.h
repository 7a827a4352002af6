// Result directories of `steno eval`, as the report needs them: run.json, summary.json and items.jsonl of format
// version 1. Everything is checked; what cannot be used is an InputError of one line that names file and line.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace steno::report {

using Json = nlohmann::json;
using Range = std::pair<int64_t, int64_t>;  // token positions, first and last, both included

struct Metric {
  std::optional<double> mean, low, high;  // mean is absent where nothing could be scored
  int64_t n = 0;
  std::string interval = "none";  // "wilson", "bootstrap" or "none"
  bool higher_is_better = true;
};
using Metrics = std::map<std::string, Metric>;

// Coordinates of a cell, as text ("4096") and by name ("length").
using CellKey = std::map<std::string, std::string>;
std::string cell_text(const CellKey& cell);  // "depth=50 length=4096"; "" where a task has no cells

struct CellResult {
  CellKey cell;
  int64_t n = 0;
  Metrics metrics;
};

struct Arm {
  std::string id, method, params, positions, reading, control;  // control: "", "closed-book" or "full-context"
  std::optional<int64_t> budget;                                // slots
  bool query_aware = false;

  // From summary.json; of an unfinished run, n and the means are taken from the items that are there.
  int64_t n = 0, skipped = 0;
  Metrics metrics;
  std::vector<CellResult> cells;
  std::optional<double> bytes, slots, read_tokens_per_s, decode_tokens_per_s;

  // From items.jsonl.
  int64_t items = 0;
  std::optional<double> seconds;  // mean of reading and decoding, per item

  // The name without the budget: arms of one series differ in the budget only.
  std::string series() const;
};

struct Item {
  size_t arm = 0;  // index into Run::arms
  std::string id, question, prediction;
  CellKey cell;
  std::map<std::string, double> scores;
  std::vector<std::string> references;
  std::vector<Range> kept, needles;   // ascending, disjoint
  std::optional<double> needle_kept;  // mean over layers and heads, where the run says so; `kept` is their union
  bool kept_known = false;            // whether the item says what was kept at all
  int64_t context_tokens = 0;
  Json accounting, time, extra;  // objects
  std::string skipped;           // why it was not done; "" for all others
};

// Share of the positions of `needles` that `kept` covers; 0 to 1. `needles` must not be empty.
double covered(const std::vector<Range>& needles, const std::vector<Range>& kept);
// Ascending, disjoint, neighbours joined.
std::vector<Range> normalise(std::vector<Range> ranges);

struct Run {
  std::filesystem::path folder;
  std::string steno, task, created, model, model_file, model_hash, tokenizer_hash, dtype, headline;
  Json seed, limit, threads, settings, data;  // as they stand in run.json; `data` is an array
  std::vector<Arm> arms;
  std::vector<Item> items;
  bool finished = false;           // whether summary.json is there
  std::vector<std::string> notes;  // what a reader has to know before the numbers
};

// `folder` is a result directory. Throws InputError.
Run read_run(const std::filesystem::path& folder);

}  // namespace steno::report
