// A conversation that goes on in one memory: every turn reads its own tokens only. Knows nothing of terminals.
#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cli/chat_turns.h"
#include "memory/generate.h"
#include "methods/method.h"
#include "model/loader.h"

namespace steno {

struct ChatTurn {
  std::string user, assistant;
};

// What a turn was, and what it cost. Every count of tokens is of tokens that went through the model.
struct ChatAnswer {
  Generated generated;
  int64_t turn_tokens = 0;    // ids of the turn: the text and what the format puts around it
  int64_t read_tokens = 0;    // read by the stream before the answer began; nothing is read again, so both are equal
  int64_t answer_tokens = 0;  // of the answer, that the memory has now
  int64_t close_tokens = 0;   // that end it
  int64_t unread_tokens = 0;  // of the turn, dropped before the answer began: the turn is longer than the memory
  bool forgot_all = false;    // room for the turn left nothing of what came before it but the start
  double read_s = 0, seconds = 0;  // reading the turn; all of it
};

struct ChatLimits {
  int64_t undo_levels = 4;                  // at least 1
  int64_t undo_bytes = int64_t{256} << 20;  // of all levels together; one level is kept whatever it takes
};

// Memories that a conversation begins with. They are read when the first turn is known, since it decides which spans
// are read where not all fit.
struct ChatOpening {
  std::vector<std::string> names;                  // of the memories, for people
  std::function<std::unique_ptr<Stream>()> empty;  // nothing is read yet
  // The ids of the first text, and of what stands between it and its answer.
  std::function<std::vector<TokenId>(const std::string& first_text)> turn;
  // What comes before the first text, and the memories. `others`: positions that the first turn and its answer take.
  std::function<std::unique_ptr<Stream>(const std::string& first_text, int64_t others)> read;
};

// Not thread-safe. Every error leaves the conversation as it was.
class ChatSession {
 public:
  ChatSession(Model model, const Method& method, StreamOptions options, const ChatFormat& format, std::string system,
              ChatLimits limits = {}, ChatOpening opening = {});

  // Reads `text` as the user's turn, answers, and closes the answer. `options.sampler.seed` is moved on by the number
  // of the turn. On Ctrl-C during the answer it ends there and is closed as any other. On Ctrl-C while the turn is read
  // the turn is taken back, and Interrupted says how far it came.
  ChatAnswer say(const std::string& text, GenerateOptions options,
                 const std::function<void(std::string_view)>& on_text = {},
                 const std::function<void(int64_t done, int64_t total)>& on_reading = {});

  // Back to the memory before the last turn, bit for bit. False when there is nothing to go back to.
  bool undo();
  void reset();
  // The memory and the conversation in one file. load() refuses, with an InputError, a file of another model,
  // tokenizer, rotation, method, budget, parameter or chat format. It brings its own system message.
  void save(const std::string& path);
  void load(const std::string& path);

  const std::vector<ChatTurn>& turns() const { return turns_; }
  const std::string& system() const { return system_; }
  const Model& model() const { return model_; }
  const Stream& stream() const { return *stream_; }
  size_t undo_levels() const { return undo_.size(); }
  int64_t undo_bytes() const;

 private:
  struct Level {
    std::unique_ptr<Stream> stream;
    int64_t bytes;
  };
  std::unique_ptr<Stream> open_empty() const;
  void remember();
  void feed_all(std::span<const TokenId> ids);
  const Identity& identity();

  Model model_;
  const Method& method_;
  StreamOptions options_;
  ChatFormat format_;
  std::string system_;
  ChatLimits limits_;
  ChatOpening opening_;
  std::vector<std::string> memories_;  // that this conversation was held over
  ChatTurns pieces_;
  std::unique_ptr<Stream> stream_;
  std::vector<ChatTurn> turns_;
  std::deque<Level> undo_;  // before each of the last turns, the newest at the back
  Identity identity_;       // made when first asked for
};

}  // namespace steno
