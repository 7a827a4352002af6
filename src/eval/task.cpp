#include "eval/task.h"

namespace steno {

std::vector<TaskRun::Cell> TaskRun::cells(const Lines& lines) const {
  struct Group {
    Json cell;
    Lines lines;
  };
  std::vector<Group> groups;
  for (const Json* line : lines) {
    Json cell = line->value("cell", Json::object());
    if (cell.empty()) continue;
    auto group = std::find_if(groups.begin(), groups.end(), [&](const Group& g) { return g.cell == cell; });
    if (group == groups.end()) group = groups.insert(groups.end(), Group{std::move(cell), {}});
    group->lines.push_back(line);
  }
  std::vector<Cell> cells;
  for (const Group& group : groups)
    cells.push_back({group.cell, static_cast<int64_t>(group.lines.size()), metrics(group.lines)});
  return cells;
}

std::vector<int64_t> parse_int_list(const std::string& owner, const std::string& name, const std::string& text) {
  std::vector<int64_t> numbers;
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    numbers.push_back(parse_int(owner, name, text.substr(at, comma - at)));
    at = comma + 1;
  }
  return numbers;
}

}  // namespace steno
