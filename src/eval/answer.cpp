#include "eval/answer.h"

#include "base/error.h"
#include "base/process.h"

namespace steno {

FeedResult feed_context(Stream& stream, const Method& method, std::span<const TokenId> ids,
                        std::span<const int64_t> utterance_ends, const ItemProgress& progress) {
  const auto report = [&](int64_t before) {
    return [&progress, before](int64_t done) {
      if (progress) progress(before + done);
    };
  };
  FeedResult result;
  if (!method.reads_utterances()) return stream.feed(ids, LogitRows::none, report(0));
  int64_t at = 0;
  for (const int64_t end : utterance_ends) {
    result =
        stream.feed(ids.subspan(static_cast<size_t>(at), static_cast<size_t>(end - at)), LogitRows::none, report(at));
    stream.end_of_utterance();
    at = end;
  }
  if (at < static_cast<int64_t>(ids.size()))
    result = stream.feed(ids.subspan(static_cast<size_t>(at)), LogitRows::none, report(at));
  return result;
}

std::vector<float> held_shares(const Stream& stream, const ModelConfig& config) {
  std::vector<float> held(static_cast<size_t>(stream.tokens_seen()));
  for (int64_t layer = 0; layer < config.layers; ++layer)
    for (int64_t head = 0; head < config.kv_heads; ++head)
      for (const int64_t position : stream.kept_positions(layer, head)) held.at(static_cast<size_t>(position)) += 1;
  for (float& share : held) share /= static_cast<float>(config.layers * config.kv_heads);
  return held;
}

Json kept_ranges(const std::vector<float>& held) {
  Json ranges = Json::array();
  for (size_t first = 0; first < held.size();) {
    size_t end = first;
    while (end < held.size() && held[end] > 0) ++end;
    if (end > first) ranges.push_back(Json::array({first, end - 1}));
    first = end + 1;
  }
  return ranges;
}

Json accounting_json(const Accounting& a) {
  return {{"source_tokens", a.source_tokens}, {"slots", a.slots},           {"dropped_tokens", a.dropped_tokens},
          {"memory_bytes", a.memory_bytes},   {"peak_slots", a.peak_slots}, {"ratio", a.ratio()},
          {"slots_by_role", a.slots_by_role}, {"reading", a.reading}};
}

GenerateOptions greedy(int64_t max_new_tokens, std::vector<std::string> stop) {
  GenerateOptions options;
  options.sampler.temperature = 0;
  options.max_new_tokens = max_new_tokens;
  options.stop = std::move(stop);
  return options;
}

Answerer::Reading Answerer::read(const Arm& arm, const Prompt& prompt, const ItemProgress& progress) {
  const bool shared = !prompt.key.empty();
  if (shared && shared_ && shared_arm_ == arm.id && shared_key_ == prompt.key) return {shared_->fork(), 0, 0};
  shared_.reset();  // before the next one grows
  Reading reading{arm.open(model_->decoder), 0, static_cast<int64_t>(prompt.context.size())};
  const Stopwatch clock;
  if (!prompt.context.empty())
    feed_context(*reading.stream, *arm.method, prompt.context, prompt.utterance_ends, progress);
  reading.seconds = clock.seconds();
  if (shared) {
    shared_ = reading.stream->fork();
    shared_arm_ = arm.id;
    shared_key_ = prompt.key;
  }
  return reading;
}

std::unique_ptr<Stream> Answerer::after_context(const Arm& arm, const Prompt& prompt, const ItemProgress& progress) {
  TORCH_CHECK(!arm.query_aware && arm.control != Control::closed_book, "this arm reads no context by itself");
  return read(arm, prompt, progress).stream;
}

Answer Answerer::decode(const Reading& reading, const std::vector<TokenId>& question,
                        const ItemProgress& progress) const {
  const int64_t before = reading.stream->tokens_seen();

  // What is kept when the answer begins, before decoding pushes things out.
  Accounting accounting;
  Answer answer;
  answer.generated = generate(
      *reading.stream, model_->tokenizer, question, options_, {},
      [&](int64_t done) {
        if (progress) progress(before + done);
      },
      [&] {
        accounting = reading.stream->accounting();
        answer.held = held_shares(*reading.stream, model_->decoder->config());
      });
  const Generated& g = answer.generated;
  if (g.reason == StopReason::interrupted) throw Interrupted("interrupted while answering");
  answer.line = {{"prediction", g.text},
                 {"stop_reason", stop_reason_name(g.reason)},
                 {"accounting", accounting_json(accounting)},
                 {"kept", kept_ranges(answer.held)},
                 {"time",
                  {{"read_s", reading.seconds},
                   {"read_tokens", reading.tokens},
                   {"first_token_s", g.first_token_s},
                   {"decode_s", g.decode_s},
                   {"decoded_tokens", g.decoded_tokens}}}};
  return answer;
}

Answer Answerer::answer(const Arm& arm, const Prompt& prompt, const ItemProgress& progress) {
  const bool closed = arm.control == Control::closed_book;
  TORCH_CHECK(!closed || !prompt.closed_book.empty(), "the task has no closed-book prompt");
  Reading reading;
  std::vector<TokenId> question = closed ? prompt.closed_book : prompt.question;
  if (closed || arm.query_aware) {
    reading.stream = arm.open(model_->decoder);
    if (!closed) question.insert(question.begin(), prompt.context.begin(), prompt.context.end());
  } else {
    reading = read(arm, prompt, progress);
  }
  Answer answer = decode(reading, question, progress);
  answer.line["context_tokens"] = closed ? 0 : static_cast<int64_t>(prompt.context.size());
  answer.line["question_tokens"] = static_cast<int64_t>((closed ? prompt.closed_book : prompt.question).size());
  return answer;
}

Answer Answerer::answer_after(std::unique_ptr<Stream> stream, double seconds, int64_t tokens,
                              const std::vector<TokenId>& question, const ItemProgress& progress) const {
  Answer answer = decode({std::move(stream), seconds, tokens}, question, progress);
  answer.line["context_tokens"] = tokens;
  answer.line["question_tokens"] = static_cast<int64_t>(question.size());
  return answer;
}

std::optional<Answer> Answerer::answer_without(const Arm& arm, const Prompt& prompt, std::span<const int64_t> positions,
                                               const ItemProgress& progress) {
  if (arm.control == Control::closed_book || arm.query_aware) return std::nullopt;
  const Reading reading = read(arm, prompt, progress);
  if (!reading.stream->forget(positions)) return std::nullopt;
  return decode(reading, prompt.question, progress);
}

}  // namespace steno
