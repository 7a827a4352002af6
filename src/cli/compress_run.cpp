#include "cli/compress_run.h"

#include <spdlog/spdlog.h>

#include <filesystem>

#include "base/error.h"
#include "base/process.h"
#include "cli/memory_source.h"
#include "cli/model_path.h"
#include "cli/progress.h"
#include "cli/text.h"
#include "methods/method.h"

namespace steno {
namespace {

namespace fs = std::filesystem;

// Where the adapter lies is written into the memory, for whoever opens it from another folder.
FieldValues with_whole_paths(FieldValues params) {
  const auto adapter = params.find("adapter");
  std::error_code error;
  if (adapter == params.end() || !fs::exists(adapter->second, error)) return params;
  const fs::path whole = fs::canonical(adapter->second, error);
  if (!error) adapter->second = whole.string();
  return params;
}

OpenCompressor open_for(const CompressRequest& request, const MemoryFile* base, const Model& model) {
  if (base && (request.method.empty() || request.method == base->header().method))
    return open_compressor_of(request.owner, *base, model, with_whole_paths(request.settings));
  const Method& method = method_named(request.method);
  const FieldValues params = with_whole_paths(request.settings);
  const auto known = method.parameters();
  if (!params.contains("adapter") &&
      std::any_of(known.begin(), known.end(), [](const FieldInfo& field) { return field.name == "adapter"; }))
    throw UsageError("[{}] {} needs an adapter, as 'steno train' writes it: --set adapter=DIR", request.owner,
                     method.name());
  auto compressor = method.open_compressor(model, params);
  if (!compressor)
    throw UsageError("[{}] {} keeps no memory that could be stored; take --method icae", request.owner, method.name());
  MemoryHeader header = memory_header(model, method.name(), method.version(), params, *compressor);
  return {std::move(compressor), std::move(header)};
}

struct Totals {
  int64_t slots = 0, slot_tokens = 0, raw_spans = 0, raw_tokens = 0;
  double ratio() const { return slots > 0 ? static_cast<double>(slot_tokens) / static_cast<double>(slots) : 0; }
};

Totals totals_of(const std::vector<SpanInfo>& spans) {
  Totals totals;
  for (const SpanInfo& span : spans) {
    const bool raw = span.kind == SpanKind::raw;
    totals.slots += span.slots;
    (raw ? totals.raw_tokens : totals.slot_tokens) += span.tokens();
    totals.raw_spans += raw;
  }
  return totals;
}

struct DocumentCount {
  std::string name;
  int64_t tokens = 0, spans = 0;
};

class CompressRun {
 public:
  CompressRun(const CompressRequest& request, const CommonFlags& common) : request_(request), common_(common) {}

  void run(StandardOutput& out) {
    const FileLock lock(request_.out, request_.when_locked);
    open_base(lock.target());
    for (const std::string& name : expand_names(request_.owner, request_.documents))
      if (name != "-" && fs::is_regular_file(name) && MemoryFile::is_memory_file(name))
        throw InputError("[{}] {}: is a memory file already; 'steno memory merge' joins memories", request_.owner,
                         name);
    const std::vector<Document> documents = read_documents(request_.owner, request_.documents);
    tell_repeated(documents);
    const Model model = load_model(find_model(common_.model), load_options(common_));
    const OpenCompressor open = open_for(request_, base_.get(), model);
    if (base_) base_->check_identity(open.header);
    // The adapter may have moved since: where it lies now is where it is found next time.
    MemoryHeader header = open.header;
    if (base_) header.created = base_->header().created;
    header.steno = STENO_VERSION;
    MemoryWriter writer(header);
    if (base_) writer.keep_all(base_);

    for (const Document& document : documents) {
      auto planned =
          plan_spans(request_.owner, document, *model.tokenizer, *open.compressor, request_.cut, keep_text());
      const auto spans = static_cast<int64_t>(planned.size());
      documents_.push_back({document.name, planned.empty() ? 0 : planned.back().span.info.token_end, spans});
      planned_tokens_ += documents_.back().tokens;
      std::move(planned.begin(), planned.end(), std::back_inserter(planned_));
    }
    compress(writer, *open.compressor, *model.tokenizer);
    const WriteReport report = writer.write(lock.target());
    totals_ = totals_of(writer.spans());
    common_.json ? out.write_json(json(report)) : out.write(text(report));
  }

 private:
  void open_base(const fs::path& target) {
    std::error_code error;
    const bool exists = fs::exists(target, error);
    if (!exists && request_.must_exist) throw InputError("[{}] {}: no such file", request_.owner, request_.out);
    if (!exists) return;
    if (request_.append) {
      base_ = MemoryFile::open(target);
    } else if (!MemoryFile::is_memory_file(target)) {
      throw InputError("[{}] {}: it exists and is no memory file; it is not overwritten", request_.owner, request_.out);
    } else if (!request_.replace) {
      throw UsageError("[{}] {}: this memory exists; add to it by --append, or replace it by --force", request_.owner,
                       request_.out);
    }
  }

  // Nobody wants a text twice by accident, and somebody may on purpose.
  void tell_repeated(const std::vector<Document>& documents) const {
    for (auto document = documents.begin(); document != documents.end(); ++document) {
      const int64_t there = base_ ? repeated_spans(*document, base_->spans()) : 0;
      if (there > 0)
        spdlog::warn("{}: {} of {} hold text of it already; it is added once more", document->name,
                     plural(there, "span"), request_.out);
      if (std::any_of(documents.begin(), document,
                      [&](const Document& d) { return d.name == document->name && d.text == document->text; }))
        spdlog::warn("{}: is named twice, and is compressed twice", document->name);
    }
  }

  bool keep_text() const {
    if (request_.keep_text || !base_) return request_.keep_text;
    return std::any_of(base_->spans().begin(), base_->spans().end(),
                       [](const SpanInfo& span) { return span.has_text && span.kind == SpanKind::slots; });
  }

  SlotType slot_type() const {
    if (request_.slot_type) return *request_.slot_type;
    if (base_)
      for (const SpanInfo& span : base_->spans())
        if (span.kind == SpanKind::slots) return span.slot_type;
    return SlotType::bf16;
  }

  void compress(MemoryWriter& writer, const Compressor& compressor, const Tokenizer& tokenizer) {
    CompressionOptions options = request_.options;
    options.slot_type = options.certificate.stored = slot_type();
    slot_type_ = options.slot_type;
    const Stopwatch clock;
    Progress progress("compressing", planned_tokens_, !common_.quiet);
    try {
      compress_into(writer, compressor, tokenizer, planned_, options, counts_,
                    [&](int64_t tokens) { progress.update(tokens); });
    } catch (const Interrupted&) {
      progress.clear();
      throw Interrupted("interrupted: {} of {} were compressed, none was kept; {}", counts_.spans,
                        plural(static_cast<int64_t>(planned_.size()), "span"),
                        base_ ? request_.out + " is as it was" : "nothing was written");
    }
    seconds_ = clock.seconds();
  }

  std::string text(const WriteReport& report) const {
    std::string text;
    for (const DocumentCount& document : documents_)
      text += fmt::format("{}: {} in {}\n", document.name, plural(document.tokens, "token"),
                          plural(document.spans, "span"));
    const int64_t kept = report.spans - report.new_spans;
    text +=
        fmt::format("{}: {}{}, {} ({}) for {}, ratio {:.2f}, {}\n", request_.out, plural(report.spans, "span"),
                    kept > 0 ? fmt::format(" ({} new, {} kept)", count_text(report.new_spans), count_text(kept)) : "",
                    plural(totals_.slots, "slot"), slot_type_name(slot_type_), plural(totals_.slot_tokens, "token"),
                    totals_.ratio(), bytes_text(report.file_bytes));
    if (totals_.raw_spans > 0)
      text += fmt::format("kept as text: {} ({})\n", plural(totals_.raw_spans, "span"),
                          plural(totals_.raw_tokens, "token"));
    if (request_.options.certify) text += certify_text(counts_.certified) + "\n";
    return text + fmt::format("compressed {} in {} ({} tokens/s)\n", plural(planned_tokens_, "token"),
                              seconds_text(seconds_), count_text(static_cast<int64_t>(rate())));
  }

  Json json(const WriteReport& report) const {
    Json documents = Json::array();
    for (const DocumentCount& d : documents_)
      documents.push_back({{"name", d.name}, {"tokens", d.tokens}, {"spans", d.spans}});
    Json json = {{"file", request_.out},
                 {"documents", documents},
                 {"spans", report.spans},
                 {"new_spans", report.new_spans},
                 {"kept_spans", report.spans - report.new_spans},
                 {"source_tokens", totals_.slot_tokens + totals_.raw_tokens},
                 {"slots", totals_.slots},
                 {"ratio", totals_.ratio()},
                 {"raw_spans", totals_.raw_spans},
                 {"raw_tokens", totals_.raw_tokens},
                 {"slot_dtype", slot_type_name(slot_type_)},
                 {"file_bytes", report.file_bytes},
                 {"header_bytes", report.header_bytes},
                 {"new_bytes", report.new_bytes},
                 {"kept_bytes", report.kept_bytes},
                 {"compressed_spans", counts_.calls},
                 {"compressed_tokens", planned_tokens_},
                 {"seconds", seconds_},
                 {"tokens_per_s", rate()},
                 {"peak_rss_bytes", peak_rss_bytes()}};
    if (request_.options.certify) {
      const CertifyCounts& c = counts_.certified;
      json["certificate"] = {{"spans", c.spans},           {"recut", c.recut}, {"raw_spans", c.raw_spans},
                             {"raw_tokens", c.raw_tokens}, {"worst", c.worst}, {"mean", c.mean()}};
    }
    return json;
  }

  double rate() const { return seconds_ > 0 ? static_cast<double>(planned_tokens_) / seconds_ : 0; }

  const CompressRequest& request_;
  const CommonFlags& common_;
  std::shared_ptr<const MemoryFile> base_;
  std::vector<DocumentCount> documents_;
  std::vector<PlannedSpan> planned_;
  int64_t planned_tokens_ = 0;
  CompressionCounts counts_;
  Totals totals_;
  SlotType slot_type_ = SlotType::bf16;
  double seconds_ = 0;
};

}  // namespace

void add_compress_flags(CLI::App& app, CompressFlags& flags) {
  constexpr const char* kGroup = "Memory files";
  app.add_option("--set", flags.set, "a parameter of the method, as key=value (adapter=DIR); may be repeated")
      ->group(kGroup)
      ->allow_extra_args(false);
  app.add_option("--jobs", flags.jobs, "spans written at once, each with its share of the threads")
      ->group(kGroup)
      ->capture_default_str();
  app.add_option("--slot-dtype", flags.slot_type, "how slots are stored: f32, bf16 (the default), int8 or int4")
      ->group(kGroup);
  app.add_option("--spans", flags.spans, "fixed: full spans, the last one shorter; balanced: equally long ones")
      ->group(kGroup)
      ->capture_default_str();
  app.add_flag("--keep-text", flags.keep_text, "store the text of the spans too")->group(kGroup);
  app.add_flag("--wait", flags.wait, "wait while another process writes the file")->group(kGroup);
  constexpr const char* kCertificate = "Certificate";
  app.add_flag("--certify", flags.certify, "write every span back from its slots and store how well it went")
      ->group(kCertificate);
  app.add_flag("--compare-dtypes", flags.compare, "certify what every --slot-dtype would score")->group(kCertificate);
  app.add_option("--min-fidelity", flags.min_fidelity,
                 "share of the characters that must come back; spans below it are cut, or kept as text")
      ->group(kCertificate);
  app.add_option("--halvings", flags.halvings, "how often a span may be cut in halves for that (2)")
      ->group(kCertificate);
}

CompressRequest compress_request(const std::string& owner, const CompressFlags& flags) {
  CompressRequest request;
  request.owner = owner;
  request.settings = parse_settings(owner, flags.set);
  if (flags.jobs < 1) throw UsageError("[{}] --jobs must be at least 1, not {}", owner, flags.jobs);
  if (flags.jobs > 1024)
    throw UsageError("[{}] --jobs {} is more than any machine has; 1024 are the most", owner, flags.jobs);
  request.options.jobs = flags.jobs;
  if (!flags.slot_type.empty()) request.slot_type = slot_type_named(owner, flags.slot_type);
  request.cut = span_cut_named(owner, flags.spans);
  request.keep_text = flags.keep_text;
  request.when_locked = flags.wait ? WhenLocked::wait : WhenLocked::refuse;
  request.options.certify = flags.certify || flags.compare || flags.min_fidelity;
  if (flags.halvings && !flags.min_fidelity)
    throw UsageError("[{}] --halvings means nothing without --min-fidelity", owner);
  CertifyOptions& certificate = request.options.certificate;
  certificate.min_fidelity = flags.min_fidelity;
  if (flags.halvings) certificate.halvings = *flags.halvings;
  if (flags.compare) certificate.also.assign(kSlotTypes.begin(), kSlotTypes.end());
  check_certify(owner, certificate);
  return request;
}

void run_compress(const CompressRequest& request, const CommonFlags& common, StandardOutput& out) {
  CompressRun(request, common).run(out);
}

}  // namespace steno
