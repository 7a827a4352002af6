// steno reconstruct: what a memory still holds, as text.
#include <optional>

#include "base/error.h"
#include "base/interrupt.h"
#include "cli/memory_source.h"
#include "cli/model_path.h"
#include "cli/progress.h"
#include "cli/reconstruction.h"
#include "cli/text.h"
#include "cli/verb.h"
#include "memory/memory_writer.h"

namespace steno {
namespace {

constexpr size_t kAtOnce = 8;  // spans written between two lines of output

std::string place_text(size_t index, const SpanInfo& info) {
  return fmt::format("span {}  {}, tokens {}..{}", index, info.source, info.token_begin, info.token_end - 1);
}

std::string score_text(const SpanScore& score) {
  return fmt::format("token accuracy {:.3f}, BLEU-4 {:.3f}, edit distance {:.3f}", score.token_accuracy.value_or(0),
                     score.bleu4.value_or(0), score.edit_distance.value_or(0));
}

std::string ended(const std::string& text) { return text.ends_with('\n') ? text : text + "\n"; }

class Reconstruct : public Verb {
 public:
  explicit Reconstruct(CLI::App& root)
      : Verb(root, "reconstruct", "Write back what a memory holds, beside its source where that was kept") {
    app_->add_option("memory", path_, "memory file");
    app_->add_option("--span", spans_,
                     "an index, a range (3..5), an id or a source's name; without it all; may be repeated")
        ->allow_extra_args(false);
    app_->add_option("--set", set_, "a parameter of the memory's method, as key=value (adapter=DIR); may be repeated")
        ->allow_extra_args(false);
  }

  void run(StandardOutput& out) override {
    if (path_.empty()) throw UsageError("[reconstruct] name a memory file");
    const FieldValues set = parse_settings("reconstruct", set_);
    const LoadOptions load = load_options(common_);
    const auto file = MemoryFile::open(path_);
    const std::vector<size_t> chosen = select(*file);
    const Model model = load_model(find_model(common_.model), load);
    const OpenCompressor open = open_compressor_of("reconstruct", *file, model, set);
    file->check_identity(open.header);

    Json items = Json::array();
    Progress progress("reconstructing", static_cast<int64_t>(chosen.size()), !common_.quiet);
    for (size_t at = 0; at < chosen.size(); at += kAtOnce) {
      check_interrupt(fmt::format("{} of {} spans written", at, chosen.size()).c_str());
      const std::span<const size_t> group = std::span(chosen).subspan(at, std::min(kAtOnce, chosen.size() - at));
      for (Json& item : write(*file, group, *open.compressor, *model.tokenizer)) {
        progress.clear();
        if (!common_.json) out.write_text(item_text(*file, item));
        items.push_back(std::move(item));
      }
      progress.update(static_cast<int64_t>(at + group.size()));
    }
    progress.clear();
    if (common_.json)
      out.write_json(Json{{"memory", path_}, {"method", open.header.method}, {"spans", std::move(items)}});
    else if (!common_.quiet && items.size() > 1)
      fmt::print(stderr, "{}", mean_text(items));
  }

 private:
  std::vector<size_t> select(const MemoryFile& file) const {
    std::vector<size_t> chosen;
    for (const std::string& what : spans_)
      for (const size_t i : select_spans(file, what))
        if (std::find(chosen.begin(), chosen.end(), i) == chosen.end()) chosen.push_back(i);
    if (spans_.empty())
      for (size_t i = 0; i < file.spans().size(); ++i) chosen.push_back(i);
    std::sort(chosen.begin(), chosen.end());
    return chosen;
  }

  std::vector<Json> write(const MemoryFile& file, std::span<const size_t> group, const Compressor& compressor,
                          const Tokenizer& tokenizer) const {
    // Those with a source are scored; the others are only written.
    std::vector<SpanSlots> with_source, without;
    std::vector<std::vector<TokenId>> sources;
    for (const size_t i : group) {
      if (file.spans()[i].kind == SpanKind::raw) continue;
      if (file.spans()[i].has_text) {
        with_source.push_back(file.slots(i));
        sources.push_back(file.tokens(i));
      } else {
        without.push_back(file.slots(i));
      }
    }
    const auto scored = score_reconstructions(compressor, tokenizer, with_source, sources);
    const auto unscored = reconstruct(compressor, tokenizer, without);
    std::vector<Json> items;
    size_t next_scored = 0, next_unscored = 0;
    for (const size_t i : group) {
      const SpanInfo& info = file.spans()[i];
      Json item = {{"span", i},
                   {"id", info.id},
                   {"source", info.source},
                   {"tokens", {info.token_begin, info.token_end}},
                   {"bytes", {info.byte_begin, info.byte_end}},
                   {"kind", info.kind == SpanKind::raw ? "raw" : "slots"},
                   {"slots", info.slots}};
      if (info.kind == SpanKind::raw) {
        item["text"] = file.text(i).value_or("");
      } else {
        const Reconstruction& written = info.has_text ? scored[next_scored] : unscored[next_unscored];
        item["slot_type"] = slot_type_name(info.slot_type);
        item["text"] = written.text;
        item["ended"] = written.ended;
        if (info.has_text) {
          const SpanScore& score = scored[next_scored++].score;
          const std::string reference = file.text(i).value_or("");
          item["reference"] = reference;
          item["differences"] = marked_differences(reference, written.text);
          item["token_accuracy"] = score.token_accuracy.value_or(0);
          item["bleu4"] = score.bleu4.value_or(0);
          item["edit_distance"] = score.edit_distance.value_or(0);
        } else {
          ++next_unscored;
        }
      }
      items.push_back(std::move(item));
    }
    return items;
  }

  std::string item_text(const MemoryFile& file, const Json& item) const {
    const auto index = item["span"].get<size_t>();
    const SpanInfo& info = file.spans()[index];
    std::string text = place_text(index, info);
    if (item["kind"] == "raw") return text + ", kept as text\n" + ended(item["text"].get<std::string>()) + "\n";
    text += fmt::format(", {} as {}", plural(info.slots, "slot"), slot_type_name(info.slot_type));
    if (!item["ended"].get<bool>()) text += fmt::format(", cut at {} tokens", reconstruction_limit(info.tokens()));
    if (!item.contains("differences"))
      return text + "; its source was not kept\n" + ended(item["text"].get<std::string>()) + "\n";
    const SpanScore score{item["token_accuracy"].get<double>(), item["bleu4"].get<double>(),
                          item["edit_distance"].get<double>()};
    return text + "\n" + score_text(score) + "\n" + ended(item["differences"].get<std::string>()) + "\n";
  }

  static std::string mean_text(const Json& items) {
    double accuracy = 0, bleu = 0, distance = 0;
    int64_t scored = 0, raw = 0;
    for (const Json& item : items) {
      raw += item["kind"] == "raw";
      if (!item.contains("differences")) continue;
      accuracy += item["token_accuracy"].get<double>();
      bleu += item["bleu4"].get<double>();
      distance += item["edit_distance"].get<double>();
      ++scored;
    }
    std::string text = plural(static_cast<int64_t>(items.size()), "span");
    if (raw > 0) text += fmt::format(", {} of them kept as text", raw);
    if (scored == 0) return text + "\n";
    const auto n = static_cast<double>(scored);
    return text + fmt::format("; mean of {} with their source: {}\n", scored,
                              score_text({accuracy / n, bleu / n, distance / n}));
  }

  std::string path_;
  std::vector<std::string> spans_, set_;
};

}  // namespace

std::unique_ptr<Verb> make_reconstruct(CLI::App& root) { return std::make_unique<Reconstruct>(root); }

}  // namespace steno
