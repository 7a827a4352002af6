// What a run leaves on the disk: run.json (what was asked), items.jsonl (a line for every arm and item, as they are
// done) and summary.json. A run that was stopped, even by a kill in the middle of a write, goes on where it was.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "io/json.h"

namespace steno {

// Where two settings differ, as "model.hash: 'a' there, 'b' now"; "" when they do not. "created" at the top is not
// compared.
std::string settings_difference(const Json& there, const Json& now);

// Owned by one thread; a lock keeps other processes out.
class RunDirectory {
 public:
  // `folder` is created, or holds a run of the same settings, which is continued. Empty: nothing is written, everything
  // is held in memory. `items`: ids in their order; `run`: run.json, with "arms".
  // Throws UsageError (another run's folder: the first difference is named), InputError (damaged files), ResourceError
  // (in use by another process, a full disk).
  RunDirectory(std::filesystem::path folder, const Json& run, const std::vector<std::string>& items);
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  bool has(const std::string& arm, const std::string& item) const { return lines_.contains({arm, item}); }
  // Adds a line and has it on the disk when it returns. Throws ResourceError.
  void append(Json line);
  // Lines of an arm that are there, in the order of the items.
  std::vector<const Json*> lines(const std::string& arm) const;
  size_t size() const { return lines_.size(); }
  size_t found() const { return found_; }  // lines that were there at the start
  bool was_torn() const { return torn_; }  // a half-written last line was cut off
  void write_summary(const Json& summary) const;
  const std::filesystem::path& folder() const { return folder_; }

 private:
  void open_run(const Json& run) const;
  void open_items(const Json& run);

  std::filesystem::path folder_;
  std::vector<std::string> items_;
  std::map<std::pair<std::string, std::string>, Json> lines_;  // (arm, item)
  int fd_ = -1;
  size_t found_ = 0;
  bool torn_ = false;
};

// One line of JSON; bytes that are not UTF-8 become U+FFFD, NaN becomes null.
std::string json_line(const Json& json);

}  // namespace steno
