#include "cli/chat_report.h"

#include <fmt/core.h>

#include "base/process.h"
#include "cli/accounting.h"
#include "cli/text.h"

namespace steno {
namespace {

// The oldest position that is kept (none: -1), and the oldest behind the first gap (none: -1).
struct Oldest {
  int64_t kept = -1, behind_gap = -1;
};

Oldest oldest_kept(const Stream& stream, const Accounting& memory) {
  if (memory.slots == 0) return {};
  if (memory.dropped_ranges.empty()) return {0, -1};
  const auto& [first, last] = memory.dropped_ranges.front();
  const int64_t behind = last + 1 < stream.tokens_seen() ? last + 1 : -1;
  return first > 0 ? Oldest{0, behind} : Oldest{behind, -1};
}

Json cost_json(const ChatAnswer& answer) {
  const Generated& generated = answer.generated;
  return {{"turn_tokens", answer.turn_tokens},
          {"read_tokens", answer.read_tokens},
          {"answer_tokens", answer.answer_tokens},
          {"close_tokens", answer.close_tokens},
          {"unread_tokens", answer.unread_tokens},
          {"read_s", answer.read_s},
          {"first_token_s", generated.first_token_s},
          {"decode_tokens_per_s", generated.decode_tokens_per_s()},
          {"turn_s", answer.seconds}};
}

std::string cost_text(const ChatAnswer& answer) {
  std::string text =
      fmt::format("read {} (this turn's {}, nothing before it again) in {}, ", plural(answer.read_tokens, "token"),
                  count_text(answer.turn_tokens), seconds_text(answer.read_s));
  text += fmt::format("answered {}", plural(static_cast<int64_t>(answer.generated.tokens.size()), "token"));
  if (answer.generated.decode_s > 0) text += fmt::format(" at {:.1f} tokens/s", answer.generated.decode_tokens_per_s());
  return text;
}

}  // namespace

std::string turn_line(int64_t turn, const ChatAnswer& answer, const Accounting& memory) {
  return fmt::format("turn {}: {}; {}, {}", turn, cost_text(answer), plural(memory.slots, "slot"),
                     bytes_text(memory.memory_bytes));
}

std::string stats_text(const ChatSession& session, const std::optional<ChatAnswer>& last) {
  const Accounting memory = session.stream().accounting();
  std::string text = fmt::format("turns   {}\n", count_text(static_cast<int64_t>(session.turns().size())));
  if (last) text += fmt::format("last    {}\n", cost_text(*last));
  text += fmt::format("memory  {}; {} per layer, {}, ratio {:.1f}\n", kept_text(memory), plural(memory.slots, "slot"),
                      bytes_text(memory.memory_bytes), memory.ratio());
  if (!memory.slots_by_role.empty()) {
    text += "roles   ";
    const char* comma = "";
    for (const auto& [role, slots] : memory.slots_by_role)
      text += fmt::format("{}{} {}", std::exchange(comma, ", "), role, count_text(slots));
    text += "\n";
  }
  const Oldest oldest = oldest_kept(session.stream(), memory);
  if (oldest.kept >= 0) text += fmt::format("oldest  position {}", oldest.kept);
  if (oldest.behind_gap >= 0) text += fmt::format(", then {}", oldest.behind_gap);
  if (oldest.kept >= 0) text += fmt::format(" of {}\n", count_text(memory.source_tokens));
  if (!memory.reading.empty()) text += fmt::format("reading {}\n", memory.reading);
  text += fmt::format("undo    {}, {}\n", plural(static_cast<int64_t>(session.undo_levels()), "turn"),
                      bytes_text(session.undo_bytes()));
  return text;
}

Json memory_json(const Stream& stream, bool ranges) {
  const Accounting memory = stream.accounting();
  const Oldest oldest = oldest_kept(stream, memory);
  Json json = {{"source_tokens", memory.source_tokens},
               {"slots", memory.slots},
               {"slots_by_role", memory.slots_by_role},
               {"dropped_tokens", memory.dropped_tokens},
               {"memory_bytes", memory.memory_bytes},
               {"allocated_bytes", memory.allocated_bytes},
               {"peak_slots", memory.peak_slots},
               {"ratio", memory.ratio()},
               {"reading", memory.reading},
               {"oldest_kept", oldest.kept < 0 ? Json() : Json(oldest.kept)}};
  if (ranges) {
    json["dropped_ranges"] = Json::array();
    for (const auto& [first, last] : memory.dropped_ranges) json["dropped_ranges"].push_back({first, last});
  }
  return json;
}

Json turn_json(int64_t turn, const std::string& text, const ChatAnswer& answer, const Stream& stream) {
  Json json = {{"turn", turn},
               {"user", text},
               {"text", answer.generated.text},
               {"stop_reason", stop_reason_name(answer.generated.reason)},
               {"tokens", answer.generated.tokens}};
  json.update(cost_json(answer));
  json["memory"] = memory_json(stream, false);
  return json;
}

Json stats_json(const ChatSession& session, const std::optional<ChatAnswer>& last) {
  return {{"turns", session.turns().size()},
          {"last_turn", last ? cost_json(*last) : Json()},
          {"memory", memory_json(session.stream(), true)},
          {"undo", {{"turns", session.undo_levels()}, {"bytes", session.undo_bytes()}}},
          {"peak_rss_bytes", peak_rss_bytes()}};
}

}  // namespace steno
