#include "methods/icae/stream.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "methods/icae/encoder.h"

namespace steno::icae {

IcaeStream::IcaeStream(std::shared_ptr<const Decoder> decoder, std::shared_ptr<const Adapter> adapter, bool task_tokens,
                       int64_t chunk_size)
    : reader_(std::move(decoder), adapter, reader_kind("icae", *adapter), chunk_size),
      kind_(reader_kind("icae", *adapter)),
      task_tokens_(task_tokens) {
  kind_.params["task_tokens"] = field_text(task_tokens);
}

IcaeStream::IcaeStream(const IcaeStream& other)
    : reader_(other.reader_.copy()),
      kind_(other.kind_),
      task_tokens_(other.task_tokens_),
      pending_(other.pending_),
      spans_(other.spans_),
      shortest_(other.shortest_),
      peak_slots_(other.peak_slots_),
      untasked_(other.untasked_) {}

std::unique_ptr<Stream> IcaeStream::fork() const { return std::unique_ptr<IcaeStream>(new IcaeStream(*this)); }

FeedResult IcaeStream::feed(std::span<const TokenId> tokens, LogitRows logits,
                            const std::function<void(int64_t)>& progress) {
  check_token_ids(tokens, vocab());
  if (tokens.empty()) return {tokens_seen(), {}};
  if (logits == LogitRows::none) {
    const FeedResult nothing{tokens_seen(), {}};
    feed_in_chunks(tokens, logits, chunk_size(), progress, [&](std::span<const TokenId> chunk, LogitRows) {
      pending_.insert(pending_.end(), chunk.begin(), chunk.end());
      write_whole_spans();
      note_peak();
      return at::Tensor();
    });
    return nothing;
  }
  write_rest();
  begin_task(logits);
  FeedResult result;
  try {
    result = reader_.feed(tokens, logits, progress);
  } catch (const Interrupted&) {
    note_peak();
    throw;
  }
  note_peak();
  return result;
}

PendingToken IcaeStream::begin_token(TokenId token, LogitRows logits) {
  check_token_ids(std::span(&token, 1), vocab());
  if (logits == LogitRows::none) return {};  // context
  write_rest();
  begin_task(logits);
  PendingToken pending = reader_.begin_token(token, logits);
  pending.finish = [this, finish = std::move(pending.finish)](const Output& out) {
    FeedResult result = finish(out);
    note_peak();
    return result;
  };
  return pending;
}

bool IcaeStream::opens_with_bos() const {
  return spans_ == 0 && settings().bos >= 0 && !pending_.empty() && pending_[0] != settings().bos;
}

void IcaeStream::read_template() {
  if (reader_.tokens_seen() > 0) return;
  const std::vector<TokenId> before = ids_of(settings().before);
  if (before.empty() || pending_.size() < before.size() || !std::equal(before.begin(), before.end(), pending_.begin()))
    return;
  reader_.feed(before, LogitRows::none, {});
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<int64_t>(before.size()));
}

void IcaeStream::write_whole_spans() {
  const int64_t span = settings().span_tokens();
  if (static_cast<int64_t>(pending_.size()) < span - 1) return;
  read_template();
  while (true) {
    const bool bos = opens_with_bos();
    const int64_t take = span - (bos ? 1 : 0);
    if (static_cast<int64_t>(pending_.size()) < take) return;
    write_span(take, bos);
  }
}

void IcaeStream::write_rest() {
  if (pending_.empty()) return;
  read_template();
  write_whole_spans();
  if (!pending_.empty()) write_span(static_cast<int64_t>(pending_.size()), opens_with_bos());
}

void IcaeStream::write_span(int64_t tokens, bool with_bos) {
  const c10::InferenceMode inference;
  std::vector<TokenId> text;
  if (with_bos) text.push_back(static_cast<TokenId>(settings().bos));
  text.insert(text.end(), pending_.begin(), pending_.begin() + tokens);
  const at::Tensor slots = encode_spans(reader_.decoder(), reader_.adapter(), std::span(&text, 1))[0];
  const auto encoded = static_cast<int64_t>(text.size());
  reader_.read_embeddings(slots, std::span(&encoded, 1), tokens);
  pending_.erase(pending_.begin(), pending_.begin() + tokens);
  shortest_ = spans_ == 0 ? tokens : std::min(shortest_, tokens);
  ++spans_;
  untasked_ = true;
}

void IcaeStream::begin_task(LogitRows logits) {
  if (!untasked_) return;
  untasked_ = false;
  if (!task_tokens_) return;
  if (logits == LogitRows::last && settings().instruct) reader_.begin(ReaderTask::instruct, LogitRows::none);
  if (logits == LogitRows::all) reader_.begin(ReaderTask::continue_text, LogitRows::none);
}

void IcaeStream::note_peak() { peak_slots_ = std::max(peak_slots_, accounting().slots); }

Accounting IcaeStream::accounting() const {
  Accounting a = reader_.accounting();
  const auto waiting = static_cast<int64_t>(pending_.size());
  a.source_tokens += waiting;
  a.slots += waiting;
  if (waiting > 0) a.slots_by_role["token"] += waiting;
  a.memory_bytes += waiting * static_cast<int64_t>(sizeof(TokenId));
  a.allocated_bytes += static_cast<int64_t>(pending_.capacity() * sizeof(TokenId));
  a.peak_slots = std::max(peak_slots_, a.slots);
  const Settings& s = settings();
  a.reading = fmt::format("context in spans of {} tokens, {} slots each", s.span_tokens(), s.k);
  if (spans_ > 0) a.reading += fmt::format(" ({} so far, the shortest of {})", spans_, shortest_);
  a.reading += "; what is asked about it is read token by token";
  return a;
}

std::vector<int64_t> IcaeStream::kept_positions(int64_t, int64_t) const {
  std::vector<int64_t> all(static_cast<size_t>(tokens_seen()));
  std::iota(all.begin(), all.end(), int64_t{0});
  return all;
}

void IcaeStream::save(const std::string& path, const Identity& identity) const {
  auto counts = reader_.counts();
  counts["spans"] = spans_;
  counts["shortest_span"] = shortest_;
  counts["peak_slots"] = peak_slots_;
  counts["untasked"] = untasked_;
  auto tensors = reader_.tensors();
  at::Tensor pending = at::empty({static_cast<int64_t>(pending_.size())}, at::kInt);
  std::copy(pending_.begin(), pending_.end(), pending.mutable_data_ptr<int32_t>());
  tensors.emplace_back("pending", pending);
  save_stream(path, kind_, identity, counts, tensors);
}

void IcaeStream::load(const std::string& path, const Identity& identity) {
  const c10::InferenceMode inference;
  const SavedStream file(path, kind_, identity);
  const at::Tensor list = file.list("pending", at::kInt);
  const int64_t spans = file.count("spans"), shortest = file.count("shortest_span"), peak = file.count("peak_slots"),
                untasked = file.count("untasked");
  const std::span<const TokenId> pending(list.const_data_ptr<int32_t>(), static_cast<size_t>(list.numel()));
  try {
    check_token_ids(pending, vocab());
    if (untasked > 1) throw InputError("untasked is {}", untasked);
    reader_.restore(file);
  } catch (const InputError& error) {
    throw InputError("[load] {}: {}", path, error.what());
  }
  pending_.assign(pending.begin(), pending.end());
  spans_ = spans, shortest_ = shortest, peak_slots_ = peak, untasked_ = untasked == 1;
}

}  // namespace steno::icae
