// The texts that evaluation and training read: JSON lines (plain or packed with Zstandard) and plain text.
// docs/data_formats.md describes the formats.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace steno {

// Every id is as in the file, or "line-N" where a record has none.
struct DocumentRecord {
  std::string id, source, title, text;
};

struct QaRecord {
  // A sentence of the context, which HotpotQA names by the title of its paragraph and its number there, from 0.
  struct Sentence {
    std::string title;
    int64_t number = 0;
    size_t begin = 0, end = 0;  // bytes of the context
  };
  std::string id, source, context, question;
  std::vector<std::string> answers;      // all accepted ones; none: the question cannot be answered
  std::vector<Sentence> sentences = {};  // where the context is a list of titles and sentences
  // Titles and numbers of the sentences that one must know to answer.
  std::vector<std::pair<std::string, int64_t>> supporting_facts = {};
};

struct LongQaRecord {
  struct Question {
    std::string question;
    std::vector<std::string> answers;
  };
  std::string id, source, context;
  std::vector<Question> questions;  // at least one
};

struct DialogueRecord {
  struct Utterance {
    std::string speaker, text;  // the speaker may be empty
  };
  std::string id, source;
  std::vector<Utterance> utterances;        // at least one
  std::vector<size_t> session_starts = {};  // utterances that begin the second session and those after it
};

using Record = std::variant<DocumentRecord, QaRecord, LongQaRecord, DialogueRecord>;

struct ReadOptions {
  int64_t limit = 0;                     // the first so many records; 0: all
  bool skip_bad = false;                 // bad records are counted and left out instead of refused
  const char* skip_flag = "--skip-bad";  // what the user sets for it, for the message
};

// What was taken from a file, as run records name it.
struct DataSource {
  std::string name, hash;            // file name; XXH3-128 of the file as it lies on the disk
  int64_t records = 0, skipped = 0;  // read; bad ones left out by skip_bad
  std::vector<std::string> bad;      // what was wrong with the first ten of them, by line
};

// Reads `path`, which holds one JSON object a line (NAME.jsonl, NAME.jsonl.zst) or, under any other name, one plain
// text (NAME.txt or NAME.txt.zst). Hands on one record after the other without holding the file in memory. Throws
// InputError that names file and line for a bad record, for a file without records and for what cannot be read.
DataSource read_records(const std::filesystem::path& path, const ReadOptions& options,
                        const std::function<void(Record&&)>& take);

// The same, for records of one type; any other type is a bad record.
template <class R>
std::vector<R> read_records_of(const std::filesystem::path& path, const ReadOptions& options, DataSource& source);
extern template std::vector<DocumentRecord> read_records_of(const std::filesystem::path&, const ReadOptions&,
                                                            DataSource&);
extern template std::vector<QaRecord> read_records_of(const std::filesystem::path&, const ReadOptions&, DataSource&);
extern template std::vector<LongQaRecord> read_records_of(const std::filesystem::path&, const ReadOptions&,
                                                          DataSource&);
extern template std::vector<DialogueRecord> read_records_of(const std::filesystem::path&, const ReadOptions&,
                                                            DataSource&);

}  // namespace steno
