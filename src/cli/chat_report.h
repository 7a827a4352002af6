// What a conversation is told about its memory, as text and as JSON.
#pragma once
#include <optional>
#include <string>

#include "cli/chat_session.h"
#include "cli/output.h"

namespace steno {

// One line about a turn's cost: "turn 3: read 25 tokens (this turn's 25, nothing before it again) in 0.02 s, ...".
std::string turn_line(int64_t turn, const ChatAnswer& answer, const Accounting& memory);
// /stats: several lines.
std::string stats_text(const ChatSession& session, const std::optional<ChatAnswer>& last);

// Keys as in `ask`, "slots_by_role", "reading", and "oldest_kept": the oldest position that some layer or head keeps.
// `ranges`: with "dropped_ranges", which can be long.
Json memory_json(const Stream& stream, bool ranges);
Json turn_json(int64_t turn, const std::string& text, const ChatAnswer& answer, const Stream& stream);
Json stats_json(const ChatSession& session, const std::optional<ChatAnswer>& last);

}  // namespace steno
