#include "cli/memory_show.h"

#include <algorithm>
#include <vector>

#include "cli/text.h"

namespace steno {
namespace {

struct Source {
  std::string name;
  int64_t spans = 0, tokens = 0, with_text = 0, raw = 0;
};

// In the order in which they appear.
std::vector<Source> sources_of(const MemoryFile& file) {
  std::vector<Source> sources;
  for (const SpanInfo& span : file.spans()) {
    auto at = std::find_if(sources.begin(), sources.end(), [&](const Source& s) { return s.name == span.source; });
    if (at == sources.end()) at = sources.insert(at, {span.source});
    ++at->spans;
    at->tokens += span.tokens();
    at->with_text += span.has_text;
    at->raw += span.kind == SpanKind::raw;
  }
  return sources;
}

struct Totals {
  int64_t slots = 0, slot_tokens = 0, raw_spans = 0, raw_tokens = 0, tensor_bytes = 0, file_bytes = 0;
  std::map<SlotType, int64_t> spans_by_type;
  double ratio() const { return slots > 0 ? static_cast<double>(slot_tokens) / static_cast<double>(slots) : 0; }
};

Totals totals_of(const MemoryFile& file) {
  Totals totals;
  for (const SpanInfo& span : file.spans()) {
    totals.tensor_bytes += span.bytes;
    if (span.kind == SpanKind::raw) {
      ++totals.raw_spans;
      totals.raw_tokens += span.tokens();
      continue;
    }
    totals.slots += span.slots;
    totals.slot_tokens += span.tokens();
    ++totals.spans_by_type[span.slot_type];
  }
  totals.file_bytes = static_cast<int64_t>(file.mapping()->bytes().size());
  return totals;
}

// Means over the spans that have slots and a score.
struct MeanScore {
  int64_t spans = 0;
  double accuracy = 0, bleu4 = 0, distance = 0, worst_distance = 0;
};

std::map<SlotType, MeanScore> mean_scores(const MemoryFile& file) {
  struct Sum {
    double sum = 0;
    int64_t count = 0;
    void add(const std::optional<double>& value) {
      if (value) sum += *value, ++count;
    }
    double mean() const { return count > 0 ? sum / static_cast<double>(count) : 0; }
  };
  struct Sums {
    Sum accuracy, bleu4, distance;
    int64_t spans = 0;
    double worst = 0;
  };
  std::map<SlotType, Sums> sums;
  for (const SpanInfo& span : file.spans()) {
    if (span.kind == SpanKind::raw) continue;
    for (const auto& [type, score] : span.scores) {
      Sums& s = sums[type];
      ++s.spans;
      s.accuracy.add(score.token_accuracy);
      s.bleu4.add(score.bleu4);
      s.distance.add(score.edit_distance);
      s.worst = std::max(s.worst, score.edit_distance.value_or(0));
    }
  }
  std::map<SlotType, MeanScore> means;
  for (const auto& [type, s] : sums)
    means[type] = {s.spans, s.accuracy.mean(), s.bleu4.mean(), s.distance.mean(), s.worst};
  return means;
}

Json score_json(const SpanScore& score) {
  const auto value = [](const std::optional<double>& number) { return number ? Json(*number) : Json(); };
  return {{"token_accuracy", value(score.token_accuracy)},
          {"bleu4", value(score.bleu4)},
          {"edit_distance", value(score.edit_distance)}};
}

std::string types_text(const Totals& totals) {
  std::string text;
  for (const auto& [type, spans] : totals.spans_by_type)
    text += fmt::format("{}{}", text.empty() ? "" : ", ",
                        totals.spans_by_type.size() == 1
                            ? slot_type_name(type)
                            : fmt::format("{} in {}", slot_type_name(type), plural(spans, "span")));
  return text.empty() ? "none" : text;
}

}  // namespace

Json span_json(const MemoryFile& file, size_t index) {
  const SpanInfo& span = file.spans()[index];
  const bool raw = span.kind == SpanKind::raw;
  Json json = {{"index", index},
               {"id", span.id},
               {"source", span.source},
               {"bytes", {span.byte_begin, span.byte_end}},
               {"tokens", {span.token_begin, span.token_end}},
               {"text_hash", span.text_hash},
               {"opens_document", span.opens_document},
               {"kind", raw ? "raw" : "slots"},
               {"slots", span.slots},
               {"slot_dtype", raw ? Json() : Json(slot_type_name(span.slot_type))},
               {"has_text", span.has_text},
               {"stored_bytes", span.bytes},
               {"scores", Json::object()}};
  for (const auto& [type, score] : span.scores) json["scores"][slot_type_name(type)] = score_json(score);
  return json;
}

std::string span_table(const MemoryFile& file) {
  size_t width = 6;
  for (const SpanInfo& span : file.spans()) width = std::max(width, span.source.size());
  std::string text = fmt::format("{:>5}  {:<14}  {:<{}}  {:>19}  {:>21}  {:>5}  {:<5}  {}\n", "span", "id", "source",
                                 width, "tokens", "bytes", "slots", "dtype", "edit distance");
  for (size_t i = 0; i < file.spans().size(); ++i) {
    const SpanInfo& span = file.spans()[i];
    const bool raw = span.kind == SpanKind::raw;
    const auto score = span.scores.find(span.slot_type);
    const bool scored = !raw && score != span.scores.end() && score->second.edit_distance;
    text += fmt::format("{:>5}  {:<14}  {:<{}}  {:>19}  {:>21}  {:>5}  {:<5}  {}\n", i, span.id, span.source, width,
                        fmt::format("{}..{}", span.token_begin, span.token_end),
                        fmt::format("{}..{}", span.byte_begin, span.byte_end), raw ? "-" : std::to_string(span.slots),
                        raw ? "text" : slot_type_name(span.slot_type),
                        scored ? fmt::format("{:.3f}", *score->second.edit_distance) : "-");
  }
  return text;
}

std::string memory_text(const MemoryFile& file) {
  const MemoryHeader& h = file.header();
  const Totals totals = totals_of(file);
  std::string text =
      fmt::format("memory     {}, {}, format {}; steno {}, made {}, changed {}\n", file.path().string(),
                  bytes_text(totals.file_bytes), MemoryHeader::kFormatVersion, h.steno, h.created, h.changed);
  text += fmt::format("method     {} version {}: spans of up to {}, {} each\n", h.method, h.method_version,
                      plural(h.span_tokens, "token"), plural(h.slots_per_span, "slot"));
  for (const auto& [key, value] : h.identity) {
    const auto name = h.names.find(key);
    std::string shown = name == h.names.end() ? "" : name->second;
    if (key == "rope")
      for (const auto& [setting, number] : h.rope)
        shown += fmt::format("{}{} {}", shown.empty() ? "" : ", ", setting, number);
    text += fmt::format("{:<10} {}{}\n", key, shown, shown.empty() ? value : " (" + value + ")");
  }
  for (const Source& s : sources_of(file)) {
    text += fmt::format("source     {}: {} in {}", s.name, plural(s.tokens, "token"), plural(s.spans, "span"));
    if (s.raw > 0) text += fmt::format(", {} as text", plural(s.raw, "span"));
    text += s.with_text == s.spans ? "; its text is kept\n"
            : s.with_text == 0     ? "; its text is not kept\n"
                                   : fmt::format("; the text of {} is kept\n", plural(s.with_text, "span"));
  }
  text += fmt::format("slots      {} ({}) for {}, ratio {:.2f}; {} of tensors\n", count_text(totals.slots),
                      types_text(totals), plural(totals.slot_tokens, "token"), totals.ratio(),
                      bytes_text(totals.tensor_bytes));
  if (totals.raw_spans > 0)
    text += fmt::format("as text    {} ({})\n", plural(totals.raw_spans, "span"), plural(totals.raw_tokens, "token"));
  const auto scores = mean_scores(file);
  if (scores.empty()) return text + "scores     none; 'steno compress --certify' measures them\n";
  text += "scores     stored as  spans  accuracy  BLEU-4  edit distance  (worst)\n";
  for (const auto& [type, s] : scores)
    text += fmt::format("           {:<9}  {:>5}  {:>8.3f}  {:>6.3f}  {:>13.3f}  {:>7.3f}{}\n", slot_type_name(type),
                        s.spans, s.accuracy, s.bleu4, s.distance, s.worst_distance,
                        totals.spans_by_type.count(type) ? "  as in this file" : "");
  return text;
}

Json memory_json(const MemoryFile& file) {
  const MemoryHeader& h = file.header();
  const Totals totals = totals_of(file);
  Json sources = Json::array(), scores = Json::object(), types = Json::object(), spans = Json::array();
  for (const Source& s : sources_of(file))
    sources.push_back({{"name", s.name},
                       {"spans", s.spans},
                       {"tokens", s.tokens},
                       {"spans_with_text", s.with_text},
                       {"raw_spans", s.raw}});
  for (const auto& [type, s] : mean_scores(file))
    scores[slot_type_name(type)] = {{"spans", s.spans},
                                    {"token_accuracy", s.accuracy},
                                    {"bleu4", s.bleu4},
                                    {"edit_distance", s.distance},
                                    {"worst_edit_distance", s.worst_distance}};
  for (const auto& [type, count] : totals.spans_by_type) types[slot_type_name(type)] = count;
  for (size_t i = 0; i < file.spans().size(); ++i) spans.push_back(span_json(file, i));
  return {{"file", file.path().string()},
          {"format_version", MemoryHeader::kFormatVersion},
          {"steno", h.steno},
          {"created", h.created},
          {"changed", h.changed},
          {"method", h.method},
          {"method_version", h.method_version},
          {"params", h.params},
          {"span_tokens", h.span_tokens},
          {"slots_per_span", h.slots_per_span},
          {"identity", h.identity},
          {"names", h.names},
          {"rope", h.rope},
          {"file_bytes", totals.file_bytes},
          {"tensor_bytes", totals.tensor_bytes},
          {"source_tokens", totals.slot_tokens + totals.raw_tokens},
          {"slots", totals.slots},
          {"ratio", totals.ratio()},
          {"raw_spans", totals.raw_spans},
          {"raw_tokens", totals.raw_tokens},
          {"slot_dtypes", types},
          {"sources", sources},
          {"scores", scores},
          {"spans", spans}};
}

}  // namespace steno
