#include "cli/reconstruction.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "base/interrupt.h"
#include "memory/feed_together.h"
#include "metrics/edit_distance.h"
#include "metrics/nltk_bleu.h"
#include "metrics/python_text.h"

namespace steno {
namespace {

// Spans decoded in step: the weights are read once for all of them.
constexpr size_t kTogether = 8;

struct Writing {
  std::unique_ptr<Stream> stream;
  at::Tensor logits;  // [V], for the next token
  int64_t limit = 0;
  bool done = false;
};

void decode_in_step(std::vector<Writing>& writings, std::span<const TokenId> ends, std::span<Reconstruction> results) {
  for (;;) {
    check_interrupt("reconstructing");
    std::vector<Stream*> streams;
    std::vector<TokenId> tokens;
    std::vector<size_t> members;
    for (size_t i = 0; i < writings.size(); ++i) {
      Writing& writing = writings[i];
      if (writing.done) continue;
      const auto id = static_cast<TokenId>(writing.logits.argmax().item<int64_t>());
      results[i].ended = std::find(ends.begin(), ends.end(), id) != ends.end();
      if (!results[i].ended) results[i].tokens.push_back(id);
      writing.done = results[i].ended || static_cast<int64_t>(results[i].tokens.size()) >= writing.limit;
      if (writing.done) continue;
      streams.push_back(writing.stream.get());
      tokens.push_back(id);
      members.push_back(i);
    }
    if (members.empty()) return;
    const std::vector<FeedResult> fed = feed_together(streams, tokens, LogitRows::last);
    for (size_t n = 0; n < members.size(); ++n) writings[members[n]].logits = fed[n].logits[-1];
  }
}

// The most likely token at every place of `source`, given the right ones before.
std::vector<TokenId> forced_tokens(Stream& stream, const at::Tensor& first_logits, std::span<const TokenId> source) {
  std::vector<TokenId> predicted = {static_cast<TokenId>(first_logits.argmax().item<int64_t>())};
  if (source.size() < 2) return predicted;
  const at::Tensor logits = stream.feed(source.first(source.size() - 1), LogitRows::all).logits;
  const at::Tensor best = logits.argmax(-1).to(at::kCPU, at::kInt).contiguous();
  predicted.insert(predicted.end(), best.const_data_ptr<int32_t>(), best.const_data_ptr<int32_t>() + best.numel());
  return predicted;
}

// With `sources`, accuracies[i] is filled.
std::vector<Reconstruction> write_all(const Compressor& compressor, const Tokenizer& tokenizer,
                                      std::span<const SpanSlots> spans, std::span<const std::vector<TokenId>> sources,
                                      std::vector<double>* accuracies) {
  const c10::InferenceMode inference;
  std::vector<Reconstruction> results(spans.size());
  std::vector<TokenId> ends = tokenizer.end_of_generation();
  if (const auto end = compressor.reconstruction_end()) ends.push_back(*end);
  for (size_t first = 0; first < spans.size(); first += kTogether) {
    const size_t count = std::min(kTogether, spans.size() - first);
    std::vector<Writing> writings;
    for (size_t i = first; i < first + count; ++i) {
      check_interrupt("reconstructing");
      auto reader = compressor.open_reader();
      reader->read_slots(spans.subspan(i, 1));
      const at::Tensor logits = reader->begin(ReaderTask::reconstruct, LogitRows::last).logits[-1];
      if (accuracies) {
        const auto copy = reader->fork();
        (*accuracies)[i] = token_accuracy(forced_tokens(*copy, logits, sources[i]), sources[i]);
      }
      writings.push_back({std::move(reader), logits, reconstruction_limit(spans[i].source_tokens)});
    }
    decode_in_step(writings, ends, std::span(results).subspan(first, count));
  }
  for (Reconstruction& result : results) result.text = tokenizer.decode(result.tokens, true);
  return results;
}

bool is_space(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }

// Words, each with the spaces in front of it, and the spaces at the end.
std::vector<std::string> words_with_spaces(const std::string& text) {
  std::vector<std::string> words;
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    while (end < text.size() && is_space(text[end])) ++end;
    while (end < text.size() && !is_space(text[end])) ++end;
    words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

std::string trimmed(const std::string& word) {
  const auto begin = std::find_if_not(word.begin(), word.end(), is_space);
  return {begin, word.end()};
}

// `text` between marks, the spaces in front of it outside.
std::string marked(const std::string& text, const char* open, const char* close) {
  const std::string inner = trimmed(text);
  if (inner.empty()) return open + text + close;
  return text.substr(0, text.size() - inner.size()) + open + inner + close;
}

}  // namespace

std::vector<Reconstruction> reconstruct(const Compressor& compressor, const Tokenizer& tokenizer,
                                        std::span<const SpanSlots> spans) {
  return write_all(compressor, tokenizer, spans, {}, nullptr);
}

std::vector<ScoredReconstruction> score_reconstructions(const Compressor& compressor, const Tokenizer& tokenizer,
                                                        std::span<const SpanSlots> spans,
                                                        std::span<const std::vector<TokenId>> sources) {
  TORCH_CHECK(spans.size() == sources.size(), "a source for every span");
  std::vector<double> accuracies(spans.size());
  std::vector<Reconstruction> written = write_all(compressor, tokenizer, spans, sources, &accuracies);
  std::vector<ScoredReconstruction> scored;
  for (size_t i = 0; i < written.size(); ++i) {
    const std::string reference = tokenizer.decode(sources[i], true);
    const Tokens words = split_spaces(reference);
    SpanScore score;
    score.token_accuracy = accuracies[i];
    score.bleu4 = nltk_sentence_bleu({&words, 1}, split_spaces(written[i].text), cumulative_weights(4));
    score.edit_distance = character_edit_distance(written[i].text, reference);
    scored.push_back({std::move(written[i]), score});
  }
  return scored;
}

// A longest common subsequence of words, by the textbook table.
std::string marked_differences(const std::string& source, const std::string& output) {
  const auto a = words_with_spaces(source), b = words_with_spaces(output);
  const size_t columns = b.size() + 1;
  std::vector<int32_t> common((a.size() + 1) * columns, 0);  // of a[i..] and b[j..]
  for (size_t i = a.size(); i-- > 0;)
    for (size_t j = b.size(); j-- > 0;)
      common[i * columns + j] = a[i] == b[j] ? common[(i + 1) * columns + j + 1] + 1
                                             : std::max(common[(i + 1) * columns + j], common[i * columns + j + 1]);
  std::string text, removed, added;
  const auto flush = [&] {
    if (!removed.empty()) text += marked(removed, "[-", "-]");
    if (!added.empty()) text += marked(added, "{+", "+}");
    removed.clear(), added.clear();
  };
  size_t i = 0, j = 0;
  while (i < a.size() || j < b.size()) {
    if (i < a.size() && j < b.size() && a[i] == b[j]) {
      flush();
      text += a[i++], ++j;
    } else if (j == b.size() || (i < a.size() && common[(i + 1) * columns + j] >= common[i * columns + j + 1])) {
      removed += a[i++];
    } else {
      added += b[j++];
    }
  }
  flush();
  return text;
}

}  // namespace steno
