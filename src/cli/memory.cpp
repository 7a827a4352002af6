// steno memory: looking after memory files.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/process.h"
#include "cli/compress_run.h"
#include "cli/memory_export.h"
#include "cli/memory_show.h"
#include "cli/memory_source.h"
#include "cli/model_path.h"
#include "cli/text.h"
#include "cli/verb.h"
#include "io/atomic_file.h"

namespace steno {
namespace {

using Names = std::vector<std::string>;

class Memory : public Verb {
 public:
  explicit Memory(CLI::App& root) : Verb(root, "memory", "List, check and change memory files") {
    app_->add_option(
        "action", action_,
        "list FILE, show FILE, verify FILE..., append FILE DOC..., delete FILE SPAN..., merge A B... -o C, "
        "export FILE [-o OUT.jsonl|.npy|.safetensors]");
    app_->add_option("file", names_,
                     "the memory file, and what the action needs besides; a SPAN is an id, a source "
                     "name, an index or a range of them (2..5)");
    app_->add_option("-o,--out", out_, "merge, export: the file to write")->type_name("FILE");
    app_->add_flag("--force", force_, "merge, export: replace a memory of that name")->group("Memory files");
    add_compress_flags(*app_, flags_);
  }

  void run(StandardOutput& out) override {
    struct Action {
      const char* name;
      size_t least;
      const char* usage;
      void (Memory::*run)(StandardOutput&);
    };
    static constexpr Action kActions[] = {
        {"list", 1, "list FILE", &Memory::list},
        {"show", 1, "show FILE", &Memory::show},
        {"verify", 1, "verify FILE...", &Memory::verify},
        {"append", 2, "append FILE DOC...", &Memory::append},
        {"delete", 2, "delete FILE SPAN...", &Memory::remove},
        {"merge", 2, "merge A B... -o C", &Memory::merge},
        {"export", 1, "export FILE [-o OUT]", &Memory::export_},
    };
    Names known;
    for (const Action& action : kActions) {
      known.push_back(action.name);
      if (action_ != action.name) continue;
      if (names_.size() < action.least) throw UsageError("[memory] usage: steno memory {}", action.usage);
      return (this->*action.run)(out);
    }
    const std::string near = nearest(action_, known);
    throw UsageError("[memory] {}: list, show, verify, append, delete, merge or export{}",
                     action_.empty() ? "name an action" : "unknown action '" + action_ + "'",
                     near.empty() ? "" : "; did you mean " + near + "?");
  }

 private:
  std::shared_ptr<const MemoryFile> only_file() const {
    if (names_.size() > 1) throw UsageError("[memory] {} takes one file, not also '{}'", action_, names_[1]);
    return MemoryFile::open(names_[0]);
  }
  WhenLocked when_locked() const { return flags_.wait ? WhenLocked::wait : WhenLocked::refuse; }

  void list(StandardOutput& out) {
    const auto file = only_file();
    if (!common_.json) return out.write(span_table(*file));
    Json spans = Json::array();
    for (size_t i = 0; i < file->spans().size(); ++i) spans.push_back(span_json(*file, i));
    out.write_json({{"spans", spans}});
  }

  void show(StandardOutput& out) {
    const auto file = only_file();
    common_.json ? out.write_json(memory_json(*file)) : out.write(memory_text(*file));
  }

  // Opening checks every byte; texts are unpacked besides. With --model also whether the memory belongs to it.
  void verify(StandardOutput& out) {
    std::optional<Model> model;
    if (!common_.model.empty()) model = load_model(find_model(common_.model), load_options(common_));
    Json list = Json::array();
    std::string lines;
    size_t bad = 0;
    for (const std::string& name : names_) {
      try {
        lines += verify_one(name, model, list);
      } catch (const InputError& error) {
        if (names_.size() == 1) throw;
        ++bad;  // the others are worth knowing about
        spdlog::error("{}", error.what());
        list.push_back({{"file", name}, {"ok", false}, {"error", error.what()}});
      }
    }
    common_.json ? out.write_json({{"files", list}}) : out.write(lines);
    if (bad > 0)
      throw InputError("[memory] {} of {} cannot be used", bad, plural(static_cast<int64_t>(names_.size()), "file"));
  }

  std::string verify_one(const std::string& name, const std::optional<Model>& model, Json& list) const {
    const Stopwatch clock;
    const auto file = MemoryFile::open(name);
    const double open_s = clock.seconds();
    for (size_t i = 0; i < file->spans().size(); ++i) {
      check_interrupt();
      file->text(i);
    }
    if (model)
      file->check_identity(open_compressor_of("memory", *file, *model, parse_settings("memory", flags_.set)).header);
    const auto bytes = static_cast<int64_t>(file->mapping()->bytes().size());
    const auto spans = static_cast<int64_t>(file->spans().size());
    list.push_back({{"file", name}, {"ok", true}, {"spans", spans}, {"bytes", bytes}, {"open_s", open_s}});
    return fmt::format("{}: whole; {}, {}{}, opened in {}\n", name, plural(spans, "span"), bytes_text(bytes),
                       model ? ", of this model" : "", seconds_text(open_s));
  }

  void append(StandardOutput& out) {
    CompressRequest request = compress_request("memory", flags_);
    request.out = names_[0];
    request.documents.assign(names_.begin() + 1, names_.end());
    request.append = request.must_exist = true;
    run_compress(request, common_, out);
  }

  void remove(StandardOutput& out) {
    const FileLock lock(names_[0], when_locked());
    const auto file = MemoryFile::open(lock.target());
    std::set<size_t> gone;
    for (auto name = names_.begin() + 1; name != names_.end(); ++name)
      for (const size_t index : select_spans(*file, *name)) gone.insert(index);
    MemoryWriter writer(with_our_version(file->header()));
    for (size_t i = 0; i < file->spans().size(); ++i)
      if (!gone.count(i)) writer.keep(file, i);
    const WriteReport report = writer.write(lock.target());
    finish(out, names_[0], fmt::format("{} deleted", plural(static_cast<int64_t>(gone.size()), "span")),
           {{"deleted_spans", gone.size()}}, report);
  }

  void merge(StandardOutput& out) {
    if (out_.empty()) throw UsageError("[memory] merge: name the file to write: -o FILE");
    const FileLock lock(out_, when_locked());
    std::error_code error;
    if (std::filesystem::exists(lock.target(), error) && !MemoryFile::is_memory_file(lock.target()))
      throw InputError("[memory] {}: it exists and is no memory file; it is not overwritten", out_);
    // Into one of its parts loses nothing.
    if (std::none_of(names_.begin(), names_.end(),
                     [&](const std::string& name) { return std::filesystem::equivalent(name, lock.target(), error); }))
      refuse_to_replace();
    std::optional<MemoryWriter> writer;
    for (const std::string& name : names_) {
      const auto file = MemoryFile::open(name);
      if (!writer) writer.emplace(with_our_version(file->header()));
      writer->keep_all(file);
    }
    const WriteReport report = writer->write(lock.target());
    finish(out, out_, fmt::format("{} merged", plural(static_cast<int64_t>(names_.size()), "file")),
           {{"merged_files", names_.size()}}, report);
  }

  void export_(StandardOutput& out) {
    const auto file = only_file();
    if (out_.empty() && common_.json)
      throw UsageError("[memory] export: --json prints one object, not a line per span; leave it out, or name -o FILE");
    if (out_.empty()) return out.write(export_lines(*file));
    refuse_to_replace();
    const std::string type = std::filesystem::path(out_).extension().string();
    if (type == ".npy") {
      export_npy(*file, out_);
    } else if (type == ".safetensors") {
      export_safetensors(*file, out_);
    } else if (type == ".jsonl") {
      AtomicFile lines(out_);
      lines.write(export_lines(*file));
      lines.commit();
    } else {
      throw UsageError("[memory] export: '{}' ends in none of .jsonl, .npy, .safetensors", out_);
    }
    if (common_.json) out.write_json({{"file", out_}, {"spans", file->spans().size()}});
  }

  void refuse_to_replace() const {
    std::error_code error;
    if (!force_ && std::filesystem::is_regular_file(out_, error) && MemoryFile::is_memory_file(out_))
      throw UsageError("[memory] {}: this memory exists; name another file, or replace it by --force", out_);
  }

  static MemoryHeader with_our_version(MemoryHeader header) {
    header.steno = STENO_VERSION;
    return header;
  }

  void finish(StandardOutput& out, const std::string& file, const std::string& done, Json json,
              const WriteReport& report) const {
    if (!common_.json)
      return out.write(
          fmt::format("{}: {}; {} in {}\n", file, done, plural(report.spans, "span"), bytes_text(report.file_bytes)));
    json["file"] = file;
    json["spans"] = report.spans;
    json["file_bytes"] = report.file_bytes;
    json["header_bytes"] = report.header_bytes;
    json["new_bytes"] = report.new_bytes;
    json["kept_bytes"] = report.kept_bytes;
    out.write_json(json);
  }

  std::string action_, out_;
  Names names_;
  bool force_ = false;
  CompressFlags flags_;
};

}  // namespace

std::unique_ptr<Verb> make_memory(CLI::App& root) { return std::make_unique<Memory>(root); }

}  // namespace steno
