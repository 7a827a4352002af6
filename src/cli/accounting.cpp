#include "cli/accounting.h"

#include <fmt/core.h>

#include "base/process.h"
#include "cli/text.h"

namespace steno {
namespace {

constexpr size_t kShownRanges = 4;

double rate(int64_t tokens, double seconds) { return seconds > 0 ? static_cast<double>(tokens) / seconds : 0; }

}  // namespace

std::string kept_text(const Accounting& memory) {
  const int64_t kept = memory.source_tokens - memory.dropped_tokens;
  if (memory.dropped_tokens == 0) return fmt::format("kept all {}", plural(kept, "token"));
  std::string text =
      fmt::format("kept {} of {}; dropped tokens ", count_text(kept), plural(memory.source_tokens, "token"));
  for (size_t i = 0; i < memory.dropped_ranges.size() && i < kShownRanges; ++i) {
    const auto& [first, last] = memory.dropped_ranges[i];
    text += i > 0 ? ", " : "";
    text += first == last ? std::to_string(first) : fmt::format("{}..{}", first, last);
  }
  if (memory.dropped_ranges.size() > kShownRanges)
    text += fmt::format(" and {} more ranges", memory.dropped_ranges.size() - kShownRanges);
  return text;
}

std::string answer_text(const RunReport& report) {
  std::string text = fmt::format("answer  first token after {}", seconds_text(report.first_token_s));
  if (report.decode_s > 0) text += fmt::format(", then {:.1f} tokens/s", rate(report.decoded_tokens, report.decode_s));
  return text + fmt::format("; peak resident memory {}\n", bytes_text(peak_rss_bytes()));
}

std::string report_text(const RunReport& report) {
  std::string text =
      fmt::format("read    {} in {} ({} tokens/s)\n", plural(report.read_tokens, "token"), seconds_text(report.read_s),
                  count_text(static_cast<int64_t>(rate(report.read_tokens, report.read_s))));
  text +=
      fmt::format("memory  {}; {} per layer, {}, ratio {:.1f}\n", kept_text(report.memory),
                  plural(report.memory.slots, "slot"), bytes_text(report.memory.memory_bytes), report.memory.ratio());
  return text + answer_text(report);
}

Json report_json(const RunReport& report) {
  Json ranges = Json::array();
  for (const auto& [first, last] : report.memory.dropped_ranges) ranges.push_back({first, last});
  return {{"source_tokens", report.memory.source_tokens},
          {"slots", report.memory.slots},
          {"dropped_tokens", report.memory.dropped_tokens},
          {"dropped_ranges", std::move(ranges)},
          {"memory_bytes", report.memory.memory_bytes},
          {"allocated_bytes", report.memory.allocated_bytes},
          {"peak_slots", report.memory.peak_slots},
          {"ratio", report.memory.ratio()},
          {"read_s", report.read_s},
          {"read_tokens_per_s", rate(report.read_tokens, report.read_s)},
          {"first_token_s", report.first_token_s},
          {"decode_tokens_per_s", rate(report.decoded_tokens, report.decode_s)},
          {"peak_rss_bytes", peak_rss_bytes()}};
}

}  // namespace steno
