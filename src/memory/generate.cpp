#include "memory/generate.h"

#include "base/error.h"
#include "base/interrupt.h"
#include "base/process.h"

namespace steno {
namespace {

// Looks for stop texts in a growing text.
class StopScan {
 public:
  explicit StopScan(const std::vector<std::string>& stops) : stops_(stops) {}

  // Position of the first stop text at or after `from`, or npos.
  size_t find(const std::string& text, size_t from) const {
    size_t first = std::string::npos;
    for (const std::string& stop : stops_)
      if (!stop.empty()) first = std::min(first, text.find(stop, from));
    return first;
  }
  // Length of the prefix that no stop text can reach back into.
  size_t safe(const std::string& text) const {
    size_t held = 0;
    for (const std::string& stop : stops_)
      for (size_t n = std::min(stop.empty() ? 0 : stop.size() - 1, text.size()); n > held; --n)
        if (text.compare(text.size() - n, n, stop, 0, n) == 0) held = n;
    return text.size() - held;
  }
  size_t longest() const {
    size_t n = 0;
    for (const std::string& stop : stops_) n = std::max(n, stop.size());
    return n;
  }

 private:
  const std::vector<std::string>& stops_;
};

}  // namespace

const char* stop_reason_name(StopReason reason) {
  switch (reason) {
    case StopReason::end_of_turn:
      return "end_of_turn";
    case StopReason::stop_text:
      return "stop_text";
    case StopReason::length:
      return "length";
    case StopReason::interrupted:
      return "interrupted";
  }
  return "";
}

Generated generate(Stream& stream, std::shared_ptr<const Tokenizer> tokenizer, std::span<const TokenId> prompt,
                   const GenerateOptions& options, const std::function<void(std::string_view)>& on_text,
                   const std::function<void(int64_t)>& on_prompt_progress,
                   const std::function<void()>& on_prompt_read) {
  if (prompt.empty()) throw InputError("the prompt is empty; there is nothing to continue");
  if (options.max_new_tokens < 0)
    throw UsageError("max-new-tokens is {}; it must be 0 or more", options.max_new_tokens);
  Generated result;
  Sampler sampler(options.sampler);
  sampler.observe(prompt);
  const Stopwatch watch;
  const bool echo = options.echo_logprobs;
  const FeedResult read = stream.feed(prompt, echo ? LogitRows::all : LogitRows::last, on_prompt_progress);
  if (on_prompt_read) on_prompt_read();
  if (echo)
    for (size_t i = 1; i < prompt.size(); ++i)
      result.prompt_logprobs.push_back(logprobs(read.logits[static_cast<int64_t>(i) - 1], prompt[i], options.logprobs));
  at::Tensor logits = read.logits[-1];

  std::vector<TokenId> endings = tokenizer->end_of_generation();
  endings.insert(endings.end(), options.ends.begin(), options.ends.end());
  StreamDecoder decoder(tokenizer);
  const StopScan scan(options.stop);
  std::string text;
  size_t emitted = 0;
  const auto emit = [&](size_t end) {
    if (end <= emitted) return;
    if (on_text) on_text(std::string_view(text).substr(emitted, end - emitted));
    emitted = end;
  };
  Stopwatch decode;
  while (static_cast<int64_t>(result.tokens.size()) < options.max_new_tokens) {
    if (interrupted()) {
      result.reason = StopReason::interrupted;
      break;
    }
    const TokenId id = sampler.sample(logits);
    if (result.tokens.empty()) {
      result.first_token_s = watch.seconds();
      decode.restart();
    }
    if (options.stop_at_end_of_turn && std::find(endings.begin(), endings.end(), id) != endings.end()) {
      result.reason = StopReason::end_of_turn;
      break;
    }
    if (options.logprobs > 0 || echo) result.logprobs.push_back(logprobs(logits, id, options.logprobs));
    result.tokens.push_back(id);
    const size_t before = text.size();
    text += decoder.push(id);
    const size_t from = before > scan.longest() ? before - scan.longest() : 0;
    if (const size_t at = scan.find(text, from); at != std::string::npos) {
      text.resize(at);
      result.reason = StopReason::stop_text;
      break;
    }
    emit(scan.safe(text));
    if (static_cast<int64_t>(result.tokens.size()) == options.max_new_tokens) break;
    try {
      logits = stream.feed(std::span(&id, 1), LogitRows::last).logits[-1];
    } catch (const Interrupted&) {  // Ctrl-C since the check above: the answer so far is not lost
      result.reason = StopReason::interrupted;
      break;
    }
    ++result.decoded_tokens;
  }
  result.decode_s = result.tokens.empty() ? 0 : decode.seconds();
  if (result.reason != StopReason::stop_text) {
    text += decoder.flush();
    if (const size_t at = scan.find(text, 0); at != std::string::npos)
      text.resize(at), result.reason = StopReason::stop_text;
  }
  emit(text.size());
  result.text = std::move(text);
  return result;
}

}  // namespace steno
