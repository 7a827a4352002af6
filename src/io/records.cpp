#include "io/records.h"

#include <algorithm>
#include <unordered_set>

#include "base/error.h"
#include "base/utf8.h"
#include "io/file_hash.h"
#include "io/json.h"
#include "io/line_reader.h"
#include "io/shown.h"

namespace steno {
namespace {

// One line as an object, with messages that begin with file and line.
class Fields {
 public:
  Fields(const nlohmann::json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) throw InputError("{}: not an object, but {}", where_, object.type_name());
  }

  bool has(const char* name) const { return object_.contains(name); }
  bool is_list(const char* name) const { return has(name) && object_[name].is_array(); }
  std::string text(const char* name) const {
    const std::string value = as_text(need(name), fmt::format("'{}'", name));
    if (value.find_first_not_of(" \t\r\n") == std::string::npos) throw InputError("{}: '{}' is empty", where_, name);
    return value;
  }
  std::string text_or(const char* name, const std::string& otherwise) const {
    if (!has(name) || object_[name].is_null()) return otherwise;
    if (object_[name].is_number_integer()) return object_[name].dump();  // ids and years
    return as_text(object_[name], fmt::format("'{}'", name));
  }
  std::vector<std::string> texts(const char* name) const {
    std::vector<std::string> values;
    for (const nlohmann::json& value : list(name))
      values.push_back(as_text(value, fmt::format("in '{}', an entry", name)));
    return values;
  }
  const nlohmann::json& list(const char* name) const {
    const nlohmann::json& value = need(name);
    if (!value.is_array()) throw InputError("{}: '{}' is not a list, but {}", where_, name, value.type_name());
    return value;
  }
  const std::string& where() const { return where_; }

 private:
  const nlohmann::json& need(const char* name) const {
    const auto found = object_.find(name);
    if (found == object_.end()) throw InputError("{}: '{}' is missing", where_, name);
    return *found;
  }
  std::string as_text(const nlohmann::json& value, const std::string& what) const {
    if (!value.is_string()) throw InputError("{}: {} is not a text, but {}", where_, what, value.type_name());
    return value.get<std::string>();
  }

  const nlohmann::json& object_;
  std::string where_;
};

Record document(const Fields& f, std::string id) {
  return DocumentRecord{std::move(id), f.text_or("source", ""), f.text_or("title", ""), f.text("text")};
}

// A context as HotpotQA has it: [[title, [sentence, ...]], ...]. Paragraphs are a line of their title and one of text.
void add_paragraphs(const Fields& f, QaRecord& record) {
  for (const nlohmann::json& entry : f.list("context")) {
    const bool fits = entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_array() &&
                      std::all_of(entry[1].begin(), entry[1].end(), [](const auto& s) { return s.is_string(); });
    if (!fits) throw InputError("{}: in 'context', an entry is no [title, [sentence, ...]]", f.where());
    if (!record.context.empty()) record.context += "\n\n";
    const auto title = entry[0].get<std::string>();
    record.context += title + "\n";
    for (size_t i = 0; i < entry[1].size(); ++i) {
      const auto sentence = entry[1][i].get<std::string>();
      if (i > 0 && !sentence.starts_with(' ')) record.context += ' ';
      const size_t begin = record.context.size();
      record.context += sentence;
      record.sentences.push_back({title, static_cast<int64_t>(i), begin, record.context.size()});
    }
  }
  if (record.sentences.empty()) throw InputError("{}: 'context' holds no sentences", f.where());
}

Record qa(const Fields& f, std::string id) {
  QaRecord record{std::move(id), f.text_or("source", ""), "", f.text("question"), f.texts("answers")};
  if (f.is_list("context"))
    add_paragraphs(f, record);
  else
    record.context = f.text("context");
  if (!f.has("supporting_facts")) return record;
  if (record.sentences.empty())
    throw InputError("{}: 'supporting_facts' need a 'context' of [title, [sentence, ...]]", f.where());
  for (const nlohmann::json& fact : f.list("supporting_facts")) {
    if (!fact.is_array() || fact.size() != 2 || !fact[0].is_string() || !fact[1].is_number_integer())
      throw InputError("{}: in 'supporting_facts', an entry is no [title, number]", f.where());
    record.supporting_facts.emplace_back(fact[0].get<std::string>(), fact[1].get<int64_t>());
  }
  return record;
}

// Prompt-with-Context: one answer, no id.
Record prompt_with_context(const Fields& f, std::string id) {
  return QaRecord{std::move(id), f.text_or("source", ""), f.text("input"), f.text("prompt"), {f.text("answer")}};
}

Record long_qa(const Fields& f, std::string id) {
  LongQaRecord record{std::move(id), f.text_or("source", ""), f.text("context"), {}};
  for (const nlohmann::json& entry : f.list("qas")) {
    const Fields q(entry, fmt::format("{}: question {}", f.where(), record.questions.size() + 1));
    record.questions.push_back({q.text("question"), q.texts("answers")});
  }
  if (record.questions.empty()) throw InputError("{}: 'qas' is empty", f.where());
  return record;
}

void add_utterances(const Fields& f, DialogueRecord& record) {
  const size_t before = record.utterances.size();
  for (const nlohmann::json& entry : f.list("utterances")) {
    const Fields u(entry, fmt::format("{}: utterance {}", f.where(), record.utterances.size() - before + 1));
    record.utterances.push_back({u.text_or("speaker", ""), u.text("text")});
  }
  if (record.utterances.size() == before) throw InputError("{}: 'utterances' is empty", f.where());
}

Record dialogue(const Fields& f, std::string id) {
  DialogueRecord record{std::move(id), f.text_or("source", ""), {}};
  if (!f.has("sessions")) {
    add_utterances(f, record);
    return record;
  }
  size_t number = 0;
  for (const nlohmann::json& entry : f.list("sessions")) {
    if (number > 0) record.session_starts.push_back(record.utterances.size());
    add_utterances(Fields(entry, fmt::format("{}: session {}", f.where(), ++number)), record);
  }
  if (number == 0) throw InputError("{}: 'sessions' is empty", f.where());
  return record;
}

Record parse_record(const std::string& line, const std::string& where, int64_t number) {
  const nlohmann::json object = parse_json(line, where);
  const Fields f(object, where);
  std::string id = f.text_or("id", "");
  if (id.empty()) id = fmt::format("line-{}", number);
  if (f.has("utterances") || f.has("sessions")) return dialogue(f, std::move(id));
  if (f.has("qas")) return long_qa(f, std::move(id));
  if (f.has("question")) return qa(f, std::move(id));
  if (f.has("input") && f.has("prompt")) return prompt_with_context(f, std::move(id));
  if (f.has("text")) return document(f, std::move(id));
  throw InputError(
      "{}: no record; a document has 'text', a question 'question' (or 'input' and 'prompt'), a long context 'qas', a "
      "dialogue "
      "'utterances'",
      where);
}

bool is_lines(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  return name.ends_with(".jsonl") || name.ends_with(".jsonl.zst");
}

DocumentRecord plain_text(const std::filesystem::path& path, LineReader& reader) {
  const std::string name = path.filename().string();
  DocumentRecord record{name, "", name, reader.rest()};
  const size_t bad = find_invalid_utf8(record.text);
  if (bad != std::string::npos || record.text.find('\0') != std::string::npos)
    throw InputError("[data] {}: not UTF-8 text (byte {}); JSON lines end in .jsonl or .jsonl.zst", path.string(),
                     bad != std::string::npos ? bad : record.text.find('\0'));
  if (record.text.find_first_not_of(" \t\r\n") == std::string::npos)
    throw InputError("[data] {}: holds no text", path.string());
  return record;
}

constexpr size_t kBadShown = 10;

// `take` may refuse a record by throwing InputError; it is told where the record stands.
DataSource read_each(const std::filesystem::path& path, const ReadOptions& options,
                     const std::function<void(Record&&, const std::string& where)>& take) {
  LineReader reader(path);
  DataSource source;
  source.name = path.filename().string();
  source.hash = hash_file(path);
  if (!is_lines(path)) {
    take(plain_text(path, reader), "[data] " + path.string());
    source.records = 1;
    return source;
  }
  std::unordered_set<std::string> ids;
  std::string line;
  while ((options.limit == 0 || source.records < options.limit) && reader.next(line)) {
    if (line.find_first_not_of(" \t") == std::string::npos) continue;
    const std::string where = fmt::format("[data] {}:{}", path.string(), reader.number());
    try {
      Record record = parse_record(line, where, reader.number());
      const std::string& id = std::visit([](const auto& r) -> const std::string& { return r.id; }, record);
      if (ids.contains(id)) throw InputError("{}: the id '{}' stands in an earlier line already", where, shown(id));
      ids.insert(id);
      take(std::move(record), where);
      ++source.records;
    } catch (const InputError& error) {
      if (!options.skip_bad)
        throw InputError("{}; mend the line, or leave such records out with {}", error.what(), options.skip_flag);
      ++source.skipped;
      if (source.bad.size() < kBadShown) source.bad.emplace_back(error.what());
    }
  }
  if (source.records == 0)
    throw InputError("[data] {}: holds no records{}", path.string(),
                     source.skipped > 0 ? fmt::format(" that can be used ({} bad ones)", source.skipped) : "");
  return source;
}

template <class R>
constexpr const char* kKind = "";
template <>
constexpr const char* kKind<DocumentRecord> = "documents ('text')";
template <>
constexpr const char* kKind<QaRecord> = "questions ('context', 'question', 'answers')";
template <>
constexpr const char* kKind<LongQaRecord> = "long contexts ('context', 'qas')";
template <>
constexpr const char* kKind<DialogueRecord> = "dialogues ('utterances')";

}  // namespace

DataSource read_records(const std::filesystem::path& path, const ReadOptions& options,
                        const std::function<void(Record&&)>& take) {
  return read_each(path, options, [&](Record&& record, const std::string&) { take(std::move(record)); });
}

template <class R>
std::vector<R> read_records_of(const std::filesystem::path& path, const ReadOptions& options, DataSource& source) {
  std::vector<R> records;
  source = read_each(path, options, [&](Record&& record, const std::string& where) {
    if (!std::holds_alternative<R>(record))
      throw InputError("{}: here {} are read, not records of another kind", where, kKind<R>);
    records.push_back(std::get<R>(std::move(record)));
  });
  return records;
}

template std::vector<DocumentRecord> read_records_of(const std::filesystem::path&, const ReadOptions&, DataSource&);
template std::vector<QaRecord> read_records_of(const std::filesystem::path&, const ReadOptions&, DataSource&);
template std::vector<LongQaRecord> read_records_of(const std::filesystem::path&, const ReadOptions&, DataSource&);
template std::vector<DialogueRecord> read_records_of(const std::filesystem::path&, const ReadOptions&, DataSource&);

}  // namespace steno
