// The data files of a run: where they are, and what was taken from them.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "io/records.h"

namespace steno {

// A file that a task reads. `name` is what `--data NAME=FILE` calls it; the first of a task is plain `--data FILE` too.
struct DataNeed {
  std::string name;          // "data", "essays"
  std::string default_file;  // its name under $STENO_DATA
  std::string what;          // for --help: "documents or dialogues"
};

struct DataOptions {
  ReadOptions read;     // `limit` and `skip_bad`
  bool spread = false;  // `limit` takes records evenly spread over the file instead of the first
};

// Opens files by name, with --limit and --skip-bad applied, and remembers for run.json what came out of them.
class DataFiles {
 public:
  // `given`: --data, by name. `owner` begins messages ("[eval] ppl").
  DataFiles(std::string owner, std::vector<DataNeed> needs, std::map<std::string, std::filesystem::path> given,
            DataOptions options)
      : owner_(std::move(owner)), needs_(std::move(needs)), given_(std::move(given)), options_(options) {}

  // Throws UsageError that says what to do when neither --data nor $STENO_DATA leads to the file; InputError.
  std::vector<Record> records(const std::string& name);
  // `whole`: all records, whatever --limit says; for material that prompts are built from rather than asked about.
  template <class R>
  std::vector<R> records_of(const std::string& name, bool whole = false) {
    DataSource& source = sources_.emplace_back();
    std::vector<R> records = read_records_of<R>(path(name), reading(whole), source);
    if (!whole) thin_out(records, source);
    return records;
  }
  bool can_find(const std::string& name) const;
  std::filesystem::path path(const std::string& name) const;
  const std::vector<DataSource>& sources() const { return sources_; }

 private:
  // Records that are to be spread are all read first.
  ReadOptions reading(bool whole) const {
    return {whole || options_.spread ? 0 : options_.read.limit, options_.read.skip_bad};
  }
  // Of equal parts of the file, the first record each.
  template <class R>
  void thin_out(std::vector<R>& records, DataSource& source) const {
    const auto limit = static_cast<size_t>(options_.read.limit), count = records.size();
    if (!options_.spread || limit == 0 || count <= limit) return;
    for (size_t i = 0; i < limit; ++i)
      if (const size_t from = i * count / limit; from != i) records[i] = std::move(records[from]);
    records.resize(limit);
    source.records = options_.read.limit;
  }

  std::string owner_;
  std::vector<DataNeed> needs_;
  std::map<std::string, std::filesystem::path> given_;
  DataOptions options_;
  std::vector<DataSource> sources_;
};

}  // namespace steno
