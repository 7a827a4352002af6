#include "cli/compression.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "base/interrupt.h"
#include "io/file_hash.h"

namespace steno {
namespace {

// Divides the threads of ATen among several callers, and gives them back.
class ThreadShare {
 public:
  explicit ThreadShare(int64_t callers) : before_(at::get_num_threads()) {
    at::set_num_threads(static_cast<int>(std::max<int64_t>(1, before_ / callers)));
  }
  ~ThreadShare() { at::set_num_threads(before_); }
  ThreadShare(const ThreadShare&) = delete;
  ThreadShare& operator=(const ThreadShare&) = delete;

 private:
  int before_;
};

}  // namespace

SpanCut span_cut_named(const std::string& owner, const std::string& name) {
  if (name == "fixed") return SpanCut::fixed;
  if (name == "balanced") return SpanCut::balanced;
  throw UsageError("[{}] --spans is fixed or balanced, not '{}'", owner, name);
}

std::vector<int64_t> token_ends(const std::string& where, const Tokenizer& tokenizer, std::span<const TokenId> ids,
                                std::string_view text) {
  std::vector<std::string> pieces;
  size_t total = 0;
  for (const TokenId id : ids) total += pieces.emplace_back(tokenizer.piece(id)).size();
  // The space in front belongs to the tokenizer when all pieces together are one byte longer than the text.
  size_t invented = total == text.size() + 1 && pieces.front().starts_with(' ') ? 1 : 0;
  std::vector<int64_t> ends;
  size_t at = 0;
  for (const std::string& piece : pieces) {
    const std::string_view own = std::string_view(piece).substr(invented);
    invented = 0;
    if (text.substr(at, own.size()) != own) break;
    at += own.size();
    ends.push_back(static_cast<int64_t>(at));
  }
  if (ends.size() != ids.size() || at != text.size())
    throw InputError(
        "{}: the model's tokenizer changes the text near byte {} (it normalises), so spans would have no exact place; "
        "normalise the text first (for example uconv -x any-nfc)",
        where, at);
  return ends;
}

std::vector<PlannedSpan> plan_spans(const std::string& owner, const Document& document, const Tokenizer& tokenizer,
                                    const Compressor& compressor, SpanCut cut, bool keep_text) {
  std::vector<TokenId> ids = tokenizer.encode(document.text, {.add_special = false, .parse_special = false});
  std::vector<int64_t> ends = token_ends(fmt::format("[{}] {}", owner, document.name), tokenizer, ids, document.text);
  if (const auto opening = compressor.opening_token()) {
    ids.insert(ids.begin(), *opening);
    ends.insert(ends.begin(), 0);
  }
  const int64_t longest = compressor.span_tokens();
  std::vector<PlannedSpan> spans;
  int64_t token = 0;
  for (std::vector<TokenId>& part : cut == SpanCut::fixed ? cut_fixed(ids, longest) : cut_balanced(ids, longest)) {
    const auto count = static_cast<int64_t>(part.size());
    PlannedSpan planned;
    planned.byte_ends.assign(ends.begin() + token, ends.begin() + token + count);
    NewSpan& span = planned.span;
    span.info.source = document.name;
    span.info.token_begin = token;
    span.info.token_end = token + count;
    span.info.byte_begin = token == 0 ? 0 : ends[static_cast<size_t>(token - 1)];
    span.info.byte_end = planned.byte_ends.back();
    span.info.opens_document = token == 0;
    span.text = document.text.substr(static_cast<size_t>(span.info.byte_begin),
                                     static_cast<size_t>(span.info.byte_end - span.info.byte_begin));
    span.tokens = std::move(part);
    span.keep_text = keep_text;
    token += count;
    spans.push_back(std::move(planned));
  }
  return spans;
}

int64_t repeated_spans(const Document& document, std::span<const SpanInfo> spans) {
  const auto size = static_cast<int64_t>(document.text.size());
  return std::count_if(spans.begin(), spans.end(), [&](const SpanInfo& span) {
    // A BOS alone is no text.
    if (span.source != document.name || span.byte_begin >= span.byte_end || span.byte_end > size) return false;
    const auto begin = static_cast<size_t>(span.byte_begin), count = static_cast<size_t>(span.byte_end) - begin;
    return hash_bytes(std::string_view(document.text).substr(begin, count)) == span.text_hash;
  });
}

NewSpan piece_of(const PlannedSpan& planned, int64_t begin, int64_t end) {
  const NewSpan& whole = planned.span;
  NewSpan piece = whole;
  SpanInfo& info = piece.info;
  info.token_begin = whole.info.token_begin + begin;
  info.token_end = whole.info.token_begin + end;
  if (begin > 0) info.byte_begin = planned.byte_ends.at(static_cast<size_t>(begin - 1));
  info.byte_end = planned.byte_ends.at(static_cast<size_t>(end - 1));
  info.opens_document = whole.info.opens_document && begin == 0;
  piece.text = whole.text.substr(static_cast<size_t>(info.byte_begin - whole.info.byte_begin),
                                 static_cast<size_t>(info.byte_end - info.byte_begin));
  piece.tokens.assign(whole.tokens.begin() + begin, whole.tokens.begin() + end);
  return piece;
}

std::vector<SpanSlots> compress_spans(const Compressor& compressor, std::span<const PlannedSpan> spans, int64_t jobs,
                                      const std::function<void(int64_t)>& done) {
  std::vector<SpanSlots> slots(spans.size());
  std::atomic<size_t> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr failure;
  std::mutex mutex;  // of `failure` and `done`
  const auto work = [&] {
    try {
      for (size_t i; !failed && (i = next++) < spans.size();) {
        check_interrupt();
        slots[i] = std::move(compressor.compress(std::span(&spans[i].span.tokens, 1)).at(0));
        const std::lock_guard lock(mutex);
        if (done) done(spans[i].span.info.tokens());
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failed.exchange(true)) failure = std::current_exception();
    }
  };
  const int64_t workers = std::min<int64_t>(jobs, static_cast<int64_t>(spans.size()));
  if (workers <= 1) {
    work();
  } else {
    const ThreadShare share(workers);
    std::vector<std::thread> threads;
    for (int64_t i = 0; i < workers; ++i) threads.emplace_back(work);
    for (std::thread& thread : threads) thread.join();
  }
  if (failure) std::rethrow_exception(failure);
  return slots;
}

void compress_into(MemoryWriter& writer, const Compressor& compressor, const Tokenizer& tokenizer,
                   std::span<const PlannedSpan> spans, const CompressionOptions& options, CompressionCounts& counts,
                   const std::function<void(int64_t)>& progress) {
  // Enough that no thread waits for long, few enough that their f32 slots are no burden.
  const auto batch = static_cast<size_t>(options.jobs * 4);
  for (size_t first = 0; first < spans.size(); first += batch) {
    const auto part = spans.subspan(first, std::min(batch, spans.size() - first));
    int64_t tokens = counts.tokens;
    std::vector<SpanSlots> slots = compress_spans(compressor, part, options.jobs, [&](int64_t count) {
      tokens += count;
      if (progress) progress(tokens);
    });
    counts.calls += static_cast<int64_t>(part.size());
    std::vector<std::vector<CertifiedPiece>> pieces;
    if (options.certify) {
      std::vector<std::vector<TokenId>> ids;
      for (const PlannedSpan& planned : part) ids.push_back(planned.span.tokens);
      pieces = certify_spans(compressor, tokenizer, ids, slots, options.certificate, counts.certified);
    } else {
      for (size_t i = 0; i < part.size(); ++i)
        pieces.push_back({{0, part[i].span.info.tokens(), std::move(slots[i]), false, {}}});
    }
    for (size_t i = 0; i < part.size(); ++i) {
      for (CertifiedPiece& piece : pieces[i]) {
        NewSpan span = piece_of(part[i], piece.begin, piece.end);
        span.info.kind = piece.raw ? SpanKind::raw : SpanKind::slots;
        span.info.scores = std::move(piece.scores);
        span.slots = std::move(piece.slots);
        writer.add(span, options.slot_type);
      }
      ++counts.spans;
      counts.tokens += part[i].span.info.tokens();
    }
  }
}

}  // namespace steno
