#include "cli/chat_session.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/process.h"
#include "cli/output.h"
#include "io/safetensors.h"
#include "model/identity.h"

namespace steno {
namespace {

// Carried along in the file's metadata; load() of a stream looks only at what it is asked to compare.
constexpr const char* kConversation = "conversation";

struct Conversation {
  std::string format, system;
  std::optional<std::vector<std::string>> memories;  // none: written before they were
  std::vector<ChatTurn> turns;
};

std::string to_text(const Conversation& conversation) {
  Json turns = Json::array();
  for (const ChatTurn& turn : conversation.turns) turns.push_back({turn.user, turn.assistant});
  const Json json = {{"format", conversation.format},
                     {"system", conversation.system},
                     {"memories", conversation.memories.value_or(std::vector<std::string>())},
                     {"turns", std::move(turns)}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Conversation read_conversation(const std::string& path) {
  const auto file = SafetensorsFile::open(path);
  const auto found = file->metadata().find(std::string("identity.") + kConversation);
  if (found == file->metadata().end()) throw InputError("[load] {}: no saved conversation", path);
  try {
    const Json json = Json::parse(found->second);
    Conversation conversation{json.at("format").get<std::string>(), json.at("system").get<std::string>(), {}, {}};
    if (json.contains("memories")) conversation.memories = json["memories"].get<std::vector<std::string>>();
    for (const Json& turn : json.at("turns"))
      conversation.turns.push_back({turn.at(0).get<std::string>(), turn.at(1).get<std::string>()});
    return conversation;
  } catch (const nlohmann::json::exception&) {
    throw InputError("[load] {}: its conversation cannot be read", path);
  }
}

// A conversation over memories is read by their compressor and any other by a method: which flag is wrong says more
// than how their files differ. Otherwise nothing is thrown.
void check_memories(const std::string& path, bool with_memories) {
  std::vector<std::string> names;
  try {
    const auto memories = read_conversation(path).memories;
    if (!memories || memories->empty() != with_memories) return;
    names = *memories;
  } catch (const InputError&) {
    return;  // whatever is wrong with the file was said already
  }
  if (with_memories) throw InputError("[load] {}: this conversation has no memories; leave --memory out", path);
  throw InputError("[load] {}: this conversation was held over memories; name them: --memory {}", path,
                   fmt::join(names, " "));
}

// Tokens of positions [first, end) that are among the dropped ones.
int64_t dropped_between(const Accounting& memory, int64_t first, int64_t end) {
  int64_t count = 0;
  for (const auto& [from, to] : memory.dropped_ranges)
    count += std::max<int64_t>(0, std::min(to + 1, end) - std::max(from, first));
  return count;
}

}  // namespace

ChatSession::ChatSession(Model model, const Method& method, StreamOptions options, const ChatFormat& format,
                         std::string system, ChatLimits limits, ChatOpening opening)
    : model_(std::move(model)),
      method_(method),
      options_(std::move(options)),
      format_(format),
      system_(std::move(system)),
      limits_(limits),
      opening_(std::move(opening)),
      memories_(opening_.names),
      pieces_(model_.tokenizer, format_, system_),
      stream_(open_empty()) {}

std::unique_ptr<Stream> ChatSession::open_empty() const {
  return opening_.empty ? opening_.empty() : method_.open_stream(model_.decoder, options_);
}

ChatAnswer ChatSession::say(const std::string& text, GenerateOptions options,
                            const std::function<void(std::string_view)>& on_text,
                            const std::function<void(int64_t, int64_t)>& on_reading) {
  const Stopwatch watch;
  const bool reads_memories = turns_.empty() && opening_.read;
  const std::vector<TokenId> ids = reads_memories ? opening_.turn(text) : pieces_.open(turns_.empty(), text);
  options.sampler.seed += turns_.size();
  ChatAnswer answer;
  answer.turn_tokens = static_cast<int64_t>(ids.size());
  remember();
  int64_t first = stream_->tokens_seen();
  try {
    check_interrupt();
    if (reads_memories) {
      stream_ = opening_.read(text, answer.turn_tokens + options.max_new_tokens);
      first = stream_->tokens_seen();
    }
    const int64_t end = first + answer.turn_tokens;
    const Accounting before = stream_->accounting();
    stream_->reserve(answer.turn_tokens + options.max_new_tokens + static_cast<int64_t>(pieces_.close().size()));
    const auto roles = stream_->accounting().slots_by_role;
    answer.forgot_all = before.slots_by_role.contains("recent") && !roles.contains("recent");
    const auto reading = [&](int64_t done) {
      if (on_reading) on_reading(done, answer.turn_tokens);
      if (done < answer.turn_tokens) return;
      answer.read_s = watch.seconds();
      answer.read_tokens = stream_->tokens_seen() - first;
      answer.unread_tokens = dropped_between(stream_->accounting(), first, end);
    };
    answer.generated = generate(*stream_, model_.tokenizer, ids, options, on_text, reading);
    // The last token of an answer that was cut off has been said, but not read; one that completes a stop text was not
    // said.
    const std::vector<TokenId>& said = answer.generated.tokens;
    const auto fed = static_cast<size_t>(stream_->tokens_seen() - end);
    if (fed < said.size() && answer.generated.reason != StopReason::stop_text) feed_all(std::span(said).subspan(fed));
    answer.answer_tokens = stream_->tokens_seen() - end;
    feed_all(pieces_.close());
    answer.close_tokens = stream_->tokens_seen() - end - answer.answer_tokens;
    stream_->end_of_utterance();
  } catch (...) {
    const int64_t read = stream_->tokens_seen() - first;
    undo_.back().bytes = 0;
    stream_ = std::move(undo_.back().stream);
    undo_.pop_back();
    try {
      throw;
    } catch (const Interrupted&) {
      throw Interrupted("interrupted: {} of {} tokens of this turn read; the turn is taken back", read,
                        answer.turn_tokens);
    }
  }
  turns_.push_back({text, answer.generated.text});
  answer.seconds = watch.seconds();
  return answer;
}

// What ends a turn is short and has to go in, whatever keys are pressed meanwhile.
void ChatSession::feed_all(std::span<const TokenId> ids) {
  const bool pressed = interrupted();
  const int64_t end = stream_->tokens_seen() + static_cast<int64_t>(ids.size());
  while (stream_->tokens_seen() < end) {
    clear_interrupt();
    try {
      stream_->feed(ids.last(static_cast<size_t>(end - stream_->tokens_seen())), LogitRows::none);
    } catch (const Interrupted&) {
    }
  }
  if (!pressed) clear_interrupt();
}

void ChatSession::remember() {
  auto copy = stream_->fork();
  const int64_t bytes = copy->accounting().allocated_bytes;
  undo_.push_back({std::move(copy), bytes});
  while (undo_.size() > 1 &&
         (static_cast<int64_t>(undo_.size()) > limits_.undo_levels || undo_bytes() > limits_.undo_bytes))
    undo_.pop_front();
}

int64_t ChatSession::undo_bytes() const {
  int64_t bytes = 0;
  for (const Level& level : undo_) bytes += level.bytes;
  return bytes;
}

bool ChatSession::undo() {
  if (undo_.empty()) return false;
  stream_ = std::move(undo_.back().stream);
  undo_.pop_back();
  turns_.pop_back();
  return true;
}

void ChatSession::reset() {
  stream_ = open_empty();
  memories_ = opening_.names;
  undo_.clear();
  turns_.clear();
}

const Identity& ChatSession::identity() {
  if (identity_.empty()) identity_ = identity_of(model_);
  return identity_;
}

void ChatSession::save(const std::string& path) {
  Identity labels = identity();
  labels[kConversation] = to_text({format_.name(), system_, memories_, turns_});
  stream_->save(path, labels);
}

void ChatSession::load(const std::string& path) {
  auto stream = open_empty();
  try {
    stream->load(path, identity());
  } catch (const InputError&) {
    check_memories(path, opening_.empty != nullptr);
    throw;
  }
  Conversation conversation = read_conversation(path);
  if (conversation.format != format_.name())
    throw InputError("[load] {}: the chat format is '{}', this conversation has '{}'", path, conversation.format,
                     format_.name());
  if (conversation.turns.empty() != (stream->tokens_seen() == 0))
    throw InputError("[load] {}: {} tokens were read, but the conversation has {} turns", path, stream->tokens_seen(),
                     conversation.turns.size());
  pieces_ = ChatTurns(model_.tokenizer, format_, conversation.system);
  stream_ = std::move(stream);
  system_ = std::move(conversation.system);
  memories_ = conversation.memories.value_or(opening_.names);
  turns_ = std::move(conversation.turns);
  undo_.clear();
}

}  // namespace steno
