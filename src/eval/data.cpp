#include "eval/data.h"

#include <algorithm>
#include <cstdlib>

#include "base/error.h"

namespace steno {
namespace {

// Where the file is, whether or not it is there; empty: nobody said.
std::filesystem::path place(const DataNeed& need, const std::map<std::string, std::filesystem::path>& given) {
  if (const auto found = given.find(need.name); found != given.end()) return found->second;
  const char* folder = std::getenv("STENO_DATA");
  if (folder == nullptr || *folder == '\0' || need.default_file.empty()) return {};
  return std::filesystem::path(folder) / need.default_file;
}

const DataNeed& need_named(const std::vector<DataNeed>& needs, const std::string& name) {
  const auto found = std::find_if(needs.begin(), needs.end(), [&](const DataNeed& need) { return need.name == name; });
  TORCH_CHECK(found != needs.end(), "the task does not list the data '", name, "'");
  return *found;
}

}  // namespace

bool DataFiles::can_find(const std::string& name) const {
  const auto path = place(need_named(needs_, name), given_);
  return !path.empty() && std::filesystem::exists(path);
}

std::filesystem::path DataFiles::path(const std::string& name) const {
  const DataNeed& need = need_named(needs_, name);
  const auto path = place(need, given_);
  const std::string flag = &need == &needs_.front() ? "--data FILE" : fmt::format("--data {}=FILE", need.name);
  if (path.empty())
    throw UsageError("{}: no data: give {} ({}), or set STENO_DATA to the folder that holds {}", owner_, flag,
                     need.what, need.default_file);
  if (!given_.contains(name) && !std::filesystem::exists(path))
    throw UsageError("{}: no data: {} is not there; give {} ({}), or set STENO_DATA to the folder that holds {}",
                     owner_, path.string(), flag, need.what, need.default_file);
  return path;
}

std::vector<Record> DataFiles::records(const std::string& name) {
  std::vector<Record> records;
  DataSource& source = sources_.emplace_back();
  source = read_records(path(name), reading(false), [&](Record&& record) { records.push_back(std::move(record)); });
  thin_out(records, source);
  return records;
}

}  // namespace steno
