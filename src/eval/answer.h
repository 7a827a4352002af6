// Questions about a context, asked of a memory: what most tasks do with an arm.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "eval/arm.h"
#include "eval/task.h"
#include "memory/generate.h"
#include "model/loader.h"

namespace steno {

struct Prompt {
  // Prompts with the same key have the same context, which is then read once and forked. Empty: not shared.
  std::string key;
  std::vector<TokenId> context;      // read first; the question is not known yet (unless the arm is query-aware)
  std::vector<TokenId> question;     // read next, at least one token; the answer follows it
  std::vector<TokenId> closed_book;  // the whole prompt of the closed-book control; empty where a task has none
  // Ascending numbers of context tokens after which an utterance ends; for methods that read utterances.
  std::vector<int64_t> utterance_ends;
};

struct Answer {
  Generated generated;
  // "prediction", "stop_reason", "accounting", "kept", "context_tokens", "time": to be merged into the item's line.
  Json line;
  // By position, when the answer began: the share of (layer, key/value head) pairs that held it.
  std::vector<float> held;
};

// Feeds `ids` in pieces that end where utterances do, if the method cares, or else in one.
FeedResult feed_context(Stream& stream, const Method& method, std::span<const TokenId> ids,
                        std::span<const int64_t> utterance_ends, const ItemProgress& progress);

// By position: the share of (layer, key/value head) pairs that hold it. Methods whose heads keep sets of their own may
// hold every token of a sentence somewhere and the whole sentence nowhere.
std::vector<float> held_shares(const Stream& stream, const ModelConfig& config);
// [[first, last], ...]: positions that some layer or head still holds, ascending.
Json kept_ranges(const std::vector<float>& held);
Json accounting_json(const Accounting& accounting);

// Greedy decoding.
GenerateOptions greedy(int64_t max_new_tokens, std::vector<std::string> stop = {});

class Answerer {
 public:
  Answerer(std::shared_ptr<const Model> model, GenerateOptions options)
      : model_(std::move(model)), options_(std::move(options)) {}

  // Greedy unless the options say otherwise. Throws Interrupted.
  Answer answer(const Arm& arm, const Prompt& prompt, const ItemProgress& progress);
  // The same from a memory that has lost the slots of `positions` between context and question. nullopt where that
  // cannot be done: streams that do not offer it (Stream::forget), query-aware arms, the closed-book control.
  std::optional<Answer> answer_without(const Arm& arm, const Prompt& prompt, std::span<const int64_t> positions,
                                       const ItemProgress& progress);
  // The same from a memory that was made elsewhere: `seconds` were spent on reading `tokens` into `stream`.
  Answer answer_after(std::unique_ptr<Stream> stream, double seconds, int64_t tokens,
                      const std::vector<TokenId>& question, const ItemProgress& progress) const;
  // A stream that has read the context (a fork of it where the key is shared), for tasks that go on by themselves, for
  // example by teacher forcing. Not for query-aware arms or the closed-book control.
  std::unique_ptr<Stream> after_context(const Arm& arm, const Prompt& prompt, const ItemProgress& progress);

 private:
  struct Reading {
    std::unique_ptr<Stream> stream;
    double seconds = 0;  // spent by this call; 0 for a context that was read before
    int64_t tokens = 0;  // likewise
  };
  Reading read(const Arm& arm, const Prompt& prompt, const ItemProgress& progress);
  // What follows the reading.
  Answer decode(const Reading& reading, const std::vector<TokenId>& question, const ItemProgress& progress) const;

  std::shared_ptr<const Model> model_;
  GenerateOptions options_;
  std::string shared_arm_, shared_key_;
  std::unique_ptr<Stream> shared_;  // has read the context of `shared_key_` with `shared_arm_`
};

}  // namespace steno
