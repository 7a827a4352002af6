// The data files of a run: where they are, and what was taken from them.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "eval/records.h"

namespace steno {

// A file that a task reads. `name` is what `--data NAME=FILE` calls it; the first of a task is plain `--data FILE` too.
struct DataNeed {
  std::string name;          // "data", "essays"
  std::string default_file;  // its name under $STENO_DATA
  std::string what;          // for --help: "documents or dialogues"
};

// Opens files by name, with --limit and --skip-bad applied, and remembers for run.json what came out of them.
class DataFiles {
 public:
  // `given`: --data, by name. `owner` begins messages ("[eval] ppl").
  DataFiles(std::string owner, std::vector<DataNeed> needs, std::map<std::string, std::filesystem::path> given,
            ReadOptions options)
      : owner_(std::move(owner)), needs_(std::move(needs)), given_(std::move(given)), options_(options) {}

  // Throws UsageError that says what to do when neither --data nor $STENO_DATA leads to the file; InputError.
  std::vector<Record> records(const std::string& name);
  // `whole`: all records, whatever --limit says; for material that prompts are built from rather than asked about.
  template <class R>
  std::vector<R> records_of(const std::string& name, bool whole = false) {
    return read_records_of<R>(path(name), whole ? ReadOptions{0, options_.skip_bad} : options_,
                              sources_.emplace_back());
  }
  bool can_find(const std::string& name) const;
  std::filesystem::path path(const std::string& name) const;
  const std::vector<DataSource>& sources() const { return sources_; }

 private:
  std::string owner_;
  std::vector<DataNeed> needs_;
  std::map<std::string, std::filesystem::path> given_;
  ReadOptions options_;
  std::vector<DataSource> sources_;
};

}  // namespace steno
