#include "report/result.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "io/json.h"
#include "io/shown.h"
#include "report/fields.h"
#include "report/items.h"

namespace steno::report {
namespace {

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file) text << file.rdbuf();
  if (!file || file.bad()) throw InputError("[report] {}: cannot be read", path.string());
  return text.str();
}

Json read_object(const std::filesystem::path& path, const char* format) {
  const std::string where = "[report] " + path.string();
  Json json = parse_json(read_text(path), where);
  const Fields fields(json, where);
  if (fields.text_or("format", "") != format)
    throw InputError("{}: not a file of 'steno eval' (its \"format\" is not \"{}\")", where, format);
  if (fields.integer("format_version") != 1)
    throw InputError("{}: format version {} is not known; this steno reads version 1", where,
                     fields.integer("format_version"));
  return json;
}

Arm parse_arm(const Fields& fields) {
  Arm arm;
  arm.id = fields.text("id");
  arm.method = fields.text("method");
  if (fields.has("budget")) arm.budget = fields.integer("budget");
  if (fields.has("params") && !fields.raw("params").empty())
    for (const auto& [name, value] : fields.object("params").json().items())
      arm.params +=
          (arm.params.empty() ? "" : ", ") + name + "=" + (value.is_string() ? value.get<std::string>() : value.dump());
  arm.positions = fields.text_or("positions", "");
  arm.reading = fields.text_or("reading", "");
  arm.query_aware = fields.flag_or("query_aware", false);
  arm.control = fields.text_or("control", "");
  return arm;
}

Metrics parse_metrics(const Fields& owner) {
  Metrics metrics;
  if (!owner.has("metrics")) return metrics;
  const Fields all = owner.object("metrics");
  for (const auto& [name, value] : all.json().items()) {
    const Fields fields(value, all.where() + ": '" + shown(name) + "'");
    Metric metric;
    metric.mean = fields.number_if("mean");
    metric.low = fields.number_if("low");
    metric.high = fields.number_if("high");
    metric.n = fields.integer_or("n", 0);
    metric.interval = fields.text_or("interval", "none");
    if (metric.interval == "none") metric.low = metric.high = std::nullopt;
    metric.higher_is_better = fields.flag_or("higher_is_better", true);
    metrics.emplace(name, metric);
  }
  return metrics;
}

void apply_summary(const Json& json, const std::string& where, Run& run) {
  const Fields summary(json, where);
  run.headline = summary.text_or("headline", "");
  for (const Json& entry : summary.array("arms")) {
    const Fields fields(entry, where + ": 'arms'");
    const std::string id = fields.text("id");
    const auto arm = std::ranges::find(run.arms, id, &Arm::id);
    if (arm == run.arms.end()) throw InputError("{}: arm '{}' is not in run.json", where, shown(id));
    arm->n = fields.integer("n");
    arm->skipped = fields.integer_or("skipped", 0);
    arm->metrics = parse_metrics(fields);
    if (fields.has("cells")) {
      for (const Json& cell : fields.array("cells")) {
        const Fields cell_fields(cell, where + ": 'cells'");
        arm->cells.push_back({parse_cell(cell_fields), cell_fields.integer("n"), parse_metrics(cell_fields)});
      }
    }
    arm->bytes = fields.number_if("bytes");
    arm->slots = fields.number_if("slots");
    arm->read_tokens_per_s = fields.number_if("read_tokens_per_s");
    arm->decode_tokens_per_s = fields.number_if("decode_tokens_per_s");
  }
}

void parse_run(const Json& json, const std::string& where, Run& run) {
  const Fields fields(json, where);
  run.steno = fields.text_or("steno", "");
  run.task = fields.text("task");
  run.created = fields.text_or("created", "");
  const Fields model = fields.object("model");
  run.model = model.text("name");
  run.model_file = model.text_or("file", "");
  run.model_hash = model.text_or("hash", "");
  if (fields.has("tokenizer")) run.tokenizer_hash = fields.object("tokenizer").text_or("hash", "");
  run.dtype = fields.text_or("dtype", "");
  run.seed = fields.raw("seed");
  run.limit = fields.raw("limit");
  run.threads = fields.raw("threads");
  run.settings = fields.raw("settings");
  run.data = fields.has("data") ? fields.array("data") : Json::array();
  for (const Json& entry : fields.array("arms")) {
    run.arms.push_back(parse_arm(Fields(entry, where + ": 'arms'")));
    const auto same = std::ranges::count(run.arms, run.arms.back().id, &Arm::id);
    if (same > 1) throw InputError("{}: arm '{}' stands twice", where, shown(run.arms.back().id));
  }
  if (run.arms.empty()) throw InputError("{}: no arms", where);
}

}  // namespace

std::string cell_text(const CellKey& cell) {
  std::string text;
  for (const auto& [name, value] : cell) text += (text.empty() ? "" : " ") + name + "=" + value;
  return text;
}

std::string Arm::series() const {
  if (!budget) return id;
  const std::string suffix = "-" + std::to_string(*budget);
  const size_t at = id.find(suffix);
  if (at == std::string::npos) return id;
  return id.substr(0, at) + id.substr(at + suffix.size());
}

std::vector<Range> normalise(std::vector<Range> ranges) {
  std::ranges::sort(ranges);
  std::vector<Range> joined;
  for (const Range& range : ranges) {
    if (!joined.empty() && range.first <= joined.back().second + 1)
      joined.back().second = std::max(joined.back().second, range.second);
    else
      joined.push_back(range);
  }
  return joined;
}

double covered(const std::vector<Range>& needles, const std::vector<Range>& kept) {
  int64_t all = 0, there = 0;
  for (const Range& needle : needles) {
    all += needle.second - needle.first + 1;
    for (const Range& range : kept)
      there += std::max<int64_t>(0, std::min(needle.second, range.second) - std::max(needle.first, range.first) + 1);
  }
  return static_cast<double>(there) / static_cast<double>(all);
}

Run read_run(const std::filesystem::path& folder) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder, ignored)) throw InputError("[report] {}: no such folder", folder.string());
  if (!std::filesystem::exists(folder / "run.json", ignored))
    throw InputError("[report] {}: not a result folder of 'steno eval' (it has no run.json)", folder.string());
  Run run;
  run.folder = folder;
  const std::string run_path = "[report] " + (folder / "run.json").string();
  parse_run(read_object(folder / "run.json", "steno.eval"), run_path, run);

  run.finished = std::filesystem::exists(folder / "summary.json", ignored);
  if (run.finished) {
    const std::filesystem::path path = folder / "summary.json";
    apply_summary(read_object(path, "steno.eval.summary"), "[report] " + path.string(), run);
  }
  if (std::filesystem::exists(folder / "items.jsonl", ignored))
    read_items(folder / "items.jsonl", run);
  else if (run.finished)
    run.notes.push_back("items.jsonl is missing: single items and times cannot be shown.");
  complete_from_items(run);
  return run;
}

}  // namespace steno::report
