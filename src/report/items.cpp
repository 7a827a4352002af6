#include "report/items.h"

#include <algorithm>
#include <fstream>
#include <set>

#include "io/json.h"
#include "io/shown.h"

namespace steno::report {
namespace {

std::vector<Range> parse_ranges(const Json& list, const std::string& where) {
  std::vector<Range> ranges;
  for (const Json& entry : list) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_number_integer() || !entry[1].is_number_integer())
      throw InputError("{}: a list of [first, last] is expected", where);
    const Range range{entry[0].get<int64_t>(), entry[1].get<int64_t>()};
    if (range.first < 0 || range.second < range.first)
      throw InputError("{}: [{}, {}] is not a range of positions", where, range.first, range.second);
    ranges.push_back(range);
  }
  return normalise(std::move(ranges));
}

// One range, [first, last], or several of them.
std::vector<Range> parse_needles(const Json& value, const std::string& where) {
  if (!value.is_array()) throw InputError("{}: [first, last] is expected", where);
  return parse_ranges(value.empty() || value[0].is_array() ? value : Json::array({value}), where);
}

std::vector<std::string> parse_texts(const Json& list, const std::string& where) {
  std::vector<std::string> texts;
  for (const Json& entry : list) {
    if (!entry.is_string()) throw InputError("{}: a list of texts is expected", where);
    texts.push_back(entry.get<std::string>());
  }
  return texts;
}

Item parse_item(const Fields& fields, const Run& run) {
  Item item;
  const std::string arm = fields.text("arm");
  const auto found = std::ranges::find(run.arms, arm, &Arm::id);
  if (found == run.arms.end()) throw InputError("{}: arm '{}' is not in run.json", fields.where(), shown(arm));
  item.arm = static_cast<size_t>(found - run.arms.begin());
  item.id = fields.text("item");
  item.cell = parse_cell(fields);
  if (fields.has("scores"))
    for (const auto& [name, value] : fields.object("scores").json().items()) {
      if (value.is_number())
        item.scores[name] = value.get<double>();
      else if (!value.is_null())
        throw InputError("{}: score '{}' must be a number", fields.where(), shown(name));
    }
  item.question = fields.text_or("question", "");
  item.prediction = fields.text_or("prediction", "");
  if (fields.has("references")) item.references = parse_texts(fields.array("references"), fields.where());
  item.kept_known = fields.has("kept");
  if (item.kept_known) item.kept = parse_ranges(fields.array("kept"), fields.where() + ": 'kept'");
  if (fields.has("needle")) item.needles = parse_needles(fields.raw("needle"), fields.where() + ": 'needle'");
  item.needle_kept = fields.number_if("needle_kept");
  item.context_tokens = fields.integer_or("context_tokens", 0);
  if (fields.has("skipped")) {
    item.skipped = fields.raw("skipped").is_string() ? fields.text("skipped") : fields.raw("skipped").dump();
    if (item.skipped.empty()) item.skipped = "no reason given";
  }
  item.accounting = fields.has("accounting") ? fields.object("accounting").json() : Json::object();
  item.time = fields.has("time") ? fields.object("time").json() : Json::object();
  item.extra = Json::object();
  static const std::set<std::string> kKnown = {"arm",         "item",       "cell", "scores",         "question",
                                               "prediction",  "references", "kept", "context_tokens", "needle",
                                               "needle_kept", "accounting", "time", "skipped"};
  for (const auto& [name, value] : fields.json().items())
    if (!kKnown.contains(name)) item.extra[name] = value;
  return item;
}

struct Mean {
  double sum = 0;
  int64_t n = 0;
  void add(double value) { sum += value, ++n; }
  std::optional<double> value() const { return n ? std::optional(sum / static_cast<double>(n)) : std::nullopt; }
};

std::optional<double> number_in(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number() ? std::optional(found->get<double>()) : std::nullopt;
}

// Plain means of the scores: intervals, and metrics of a whole corpus, come with summary.json only.
void estimate(Run& run) {
  struct Sums {
    int64_t n = 0;
    std::map<std::string, Mean> scores;
  };
  struct ArmSums {
    Sums all;
    std::map<CellKey, Sums> cells;
    Mean bytes, slots;
  };
  std::vector<ArmSums> sums(run.arms.size());
  for (const Item& item : run.items) {
    ArmSums& arm = sums[item.arm];
    if (!item.skipped.empty()) {
      ++run.arms[item.arm].skipped;
      continue;
    }
    Sums& cell = arm.cells[item.cell];
    ++arm.all.n, ++cell.n;
    for (const auto& [name, value] : item.scores) arm.all.scores[name].add(value), cell.scores[name].add(value);
    if (const auto bytes = number_in(item.accounting, "memory_bytes")) arm.bytes.add(*bytes);
    if (const auto slots = number_in(item.accounting, "slots")) arm.slots.add(*slots);
  }
  const auto metrics = [](const Sums& sums) {
    Metrics metrics;
    for (const auto& [name, mean] : sums.scores) metrics[name] = {.mean = mean.value(), .n = mean.n};
    return metrics;
  };
  for (size_t i = 0; i < run.arms.size(); ++i) {
    Arm& arm = run.arms[i];
    arm.n = sums[i].all.n;
    arm.metrics = metrics(sums[i].all);
    for (const auto& [cell, cell_sums] : sums[i].cells)
      if (!cell.empty()) arm.cells.push_back({cell, cell_sums.n, metrics(cell_sums)});
    arm.bytes = sums[i].bytes.value();
    arm.slots = sums[i].slots.value();
  }
}

}  // namespace

CellKey parse_cell(const Fields& owner) {
  CellKey cell;
  if (!owner.has("cell")) return cell;
  for (const auto& [name, value] : owner.object("cell").json().items())
    cell[name] = value.is_string() ? value.get<std::string>() : value.dump();
  return cell;
}

void read_items(const std::filesystem::path& path, Run& run) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw InputError("[report] {}: cannot be read", path.string());
  std::set<std::pair<size_t, std::string>> seen;
  std::string line;
  for (int64_t number = 1; std::getline(file, line); ++number) {
    const std::string where = fmt::format("[report] {}: line {}", path.string(), number);
    if (file.eof())  // no line break: the writer was stopped within the line
      throw InputError("{}: cut off; let 'steno eval' finish the run, or remove the line", where);
    if (line.empty()) throw InputError("{}: empty", where);
    const Json json = parse_json(line, where);
    Item item = parse_item(Fields(json, where), run);
    if (!seen.emplace(item.arm, item.id).second)
      throw InputError("{}: item '{}' of arm '{}' stands twice", where, shown(item.id), shown(run.arms[item.arm].id));
    ++run.arms[item.arm].items;
    run.items.push_back(std::move(item));
  }
  if (file.bad()) throw InputError("[report] {}: cannot be read", path.string());
}

void complete_from_items(Run& run) {
  std::vector<Mean> seconds(run.arms.size());
  for (const Item& item : run.items) {
    if (!item.skipped.empty()) continue;
    const auto read = number_in(item.time, "read_s"), decode = number_in(item.time, "decode_s");
    if (read || decode) seconds[item.arm].add(read.value_or(0) + decode.value_or(0));
  }
  for (size_t i = 0; i < run.arms.size(); ++i) run.arms[i].seconds = seconds[i].value();
  if (run.finished) {
    for (const Arm& arm : run.arms)
      if (!run.items.empty() && arm.n != arm.items && arm.n + arm.skipped != arm.items)
        run.notes.push_back(
            fmt::format("{}: the summary counts {} items, items.jsonl holds {}.", arm.id, arm.n, arm.items));
    return;
  }
  estimate(run);
  run.notes.push_back(fmt::format(
      "This run is not finished: {} items so far. The numbers are plain means of the items that are there, without "
      "intervals; metrics of a whole corpus are missing.",
      run.items.size()));
}

}  // namespace steno::report
