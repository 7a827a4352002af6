#include "methods/icae/reader.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <fmt/ranges.h>

#include <numeric>

#include "base/error.h"
#include "base/interrupt.h"
#include "methods/icae/encoder.h"

namespace steno::icae {
namespace {

struct NextTokens {
  std::vector<int64_t> positions;
  PositionCursor cursor;  // behind them
};

NextTokens next_tokens(const PositionCursor& cursor, int64_t count) {
  NextTokens next{{}, cursor};
  next.cursor.add_tokens(count, next.positions);
  return next;
}

// [1, T] int64
template <class T>
at::Tensor long_row(std::span<const T> values) {
  const at::Tensor row = at::empty({1, static_cast<int64_t>(values.size())}, at::kLong);
  std::copy(values.begin(), values.end(), row.mutable_data_ptr<int64_t>());
  return row;
}

}  // namespace

StreamKind reader_kind(const std::string& method, const Adapter& adapter) {
  return {method, kMethodVersion, {{"adapter", adapter.hash()}}};
}

Reader::Reader(std::shared_ptr<const Decoder> decoder, std::shared_ptr<const Adapter> adapter, StreamKind kind,
               int64_t chunk_size)
    : decoder_(std::move(decoder)),
      adapter_(std::move(adapter)),
      kind_(std::move(kind)),
      chunk_size_(chunk_size),
      cursor_(adapter_->settings.position_layout(), adapter_->settings.k),
      bank_(decoder_->config(), decoder_->compute_dtype(), decoder_->device()) {}

Reader::Reader(const Reader& other)
    : decoder_(other.decoder_),
      adapter_(other.adapter_),
      kind_(other.kind_),
      chunk_size_(other.chunk_size_),
      cursor_(other.cursor_),
      bank_(other.bank_.fork()),
      source_tokens_(other.source_tokens_),
      slots_(other.slots_),
      tasks_(other.tasks_) {}

Reader Reader::copy() const {
  const c10::InferenceMode inference;
  return Reader(*this);
}

std::unique_ptr<Stream> Reader::fork() const {
  const c10::InferenceMode inference;
  return std::unique_ptr<Reader>(new Reader(*this));
}

void Reader::read_slots(std::span<const SpanSlots> spans) {
  const c10::InferenceMode inference;
  const std::vector<int64_t> shape = {adapter_->settings.k, decoder_->config().d_model};
  for (const SpanSlots& span : spans) {
    if (span.tensors.size() != 1 || span.tensors[0].first != "slots")
      throw InputError("[icae] slots of another method: expected one tensor 'slots' per span");
    const at::Tensor& slots = span.tensors[0].second;
    if (slots.sizes() != shape || !slots.is_floating_point())
      throw InputError("[icae] 'slots' is {} [{}], this adapter writes [{}]", toString(slots.scalar_type()),
                       fmt::join(slots.sizes(), ", "), fmt::join(shape, ", "));
    if (span.source_tokens < 1) throw InputError("[icae] slots for {} tokens", span.source_tokens);
  }
  // Spans are read several at once, so that the weights are read once for them.
  for (size_t begin = 0; begin < spans.size();) {
    if (interrupted()) throw Interrupted("interrupted after reading {} of {} spans", begin, spans.size());
    std::vector<at::Tensor> parts;
    std::vector<int64_t> read;
    int64_t rows = 0, tokens = 0;
    do {
      const SpanSlots& span = spans[begin++];
      parts.push_back(span.tensors[0].second.to(decoder_->device(), at::kFloat));
      read.push_back(span.source_tokens);
      rows += span.slots();
      tokens += span.source_tokens;
    } while (begin < spans.size() && rows + spans[begin].slots() <= chunk_size_);
    read_embeddings(at::cat(parts, 0), read, tokens);
  }
}

void Reader::read_embeddings(const at::Tensor& slots, std::span<const int64_t> spans, int64_t source_tokens) {
  const c10::InferenceMode inference;
  PositionCursor cursor = cursor_;
  std::vector<int64_t> positions;
  for (const int64_t tokens : spans) cursor.add_span(tokens, positions);
  // Not cut any further: half a span would be no state to be left in by Ctrl-C.
  read(slots.unsqueeze(0), positions, LogitRows::none, cursor);
  slots_ += slots.size(0);
  source_tokens_ += source_tokens;
}

FeedResult Reader::begin(ReaderTask task, LogitRows logits) {
  const c10::InferenceMode inference;
  if (task == ReaderTask::continue_text && !adapter_->settings.lm_token) return {source_tokens_, {}};
  const IdPlan plan = adapter_->plan(decoder_->config());
  const int64_t id = task == ReaderTask::reconstruct     ? plan.ae()
                     : task == ReaderTask::continue_text ? plan.lm()
                                                         : plan.ft();
  const std::vector<int64_t> sequence = {id};
  PositionCursor cursor = cursor_;
  std::vector<int64_t> positions;
  if (task == ReaderTask::reconstruct)
    cursor.add_reconstruct(positions);
  else
    cursor.add_task(positions);
  const at::Tensor out =
      read(embed_sequences(*decoder_, *adapter_, std::span(&sequence, 1)), positions, logits, cursor);
  ++tasks_;
  return {source_tokens_ - 1, out.defined() ? out.squeeze(0) : out};
}

FeedResult Reader::feed(std::span<const TokenId> tokens, LogitRows logits,
                        const std::function<void(int64_t)>& progress) {
  const c10::InferenceMode inference;
  check_token_ids(tokens, vocab());
  FeedResult result{source_tokens_, {}};
  result.logits =
      feed_in_chunks(tokens, logits, chunk_size_, progress, [&](std::span<const TokenId> chunk, LogitRows rows) {
        const auto steps = static_cast<int64_t>(chunk.size());
        const auto [positions, cursor] = next_tokens(cursor_, steps);
        Input in = next_input(positions, rows);
        in.ids = ids_row(chunk);
        const at::Tensor out = decoder_->run(in).logits;
        commit(positions, Role::token, cursor);
        source_tokens_ += steps;
        return out;
      });
  if (logits == LogitRows::last) result.first_position = source_tokens_ - 1;
  return result;
}

at::Tensor Reader::feed_attending(std::span<const TokenId> tokens) {
  const c10::InferenceMode inference;
  check_token_ids(tokens, vocab());
  const auto steps = static_cast<int64_t>(tokens.size());
  const int64_t before = bank_.size();
  at::Tensor given = at::zeros({before}, at::kFloat);
  if (steps == 0) return given;
  const auto [positions, cursor] = next_tokens(cursor_, steps);
  Input in = next_input(positions, LogitRows::none);
  in.ids = ids_row(tokens);
  in.capture.mass = true;
  const Output out = decoder_->run(in);
  commit(positions, Role::token, cursor);
  source_tokens_ += steps;
  for (const at::Tensor& mass : out.mass) given += mass[0].narrow(1, 0, before).mean(0).to(at::kCPU);
  return given / static_cast<double>(steps * static_cast<int64_t>(out.mass.size()));
}

PendingToken Reader::begin_token(TokenId token, LogitRows logits) {
  check_token_ids(std::span(&token, 1), vocab());
  const auto [positions, cursor] = next_tokens(cursor_, 1);
  Input in = next_input(positions, logits);
  in.ids = ids_row(std::span(&token, 1));
  return {decoder_.get(), std::move(in), [this, positions, cursor](const Output& out) {
            commit(positions, Role::token, cursor);
            ++source_tokens_;
            return FeedResult{source_tokens_ - 1, out.logits.defined() ? out.logits.squeeze(0) : at::Tensor()};
          }};
}

at::Tensor Reader::ids_row(std::span<const TokenId> tokens) const {
  return long_row(std::span<const TokenId>(tokens)).to(decoder_->device());
}

Input Reader::next_input(std::span<const int64_t> positions, LogitRows logits) {
  const auto steps = static_cast<int64_t>(positions.size());
  bank_.reserve(steps);
  Input in;
  in.positions = long_row(positions).to(decoder_->device());
  in.rows = bank_.rows_for(steps);
  if (has_sliding_layers(decoder_->config())) {
    const std::vector<int64_t> held = bank_.table().positions();
    in.row_positions = {long_row(std::span<const int64_t>(held)).to(decoder_->device())};
  }
  in.logits = logits;
  return in;
}

void Reader::commit(std::span<const int64_t> positions, Role role, const PositionCursor& cursor) {
  std::vector<Slot> own;
  for (const int64_t position : positions) own.push_back({position, 0, 0, 0, 0, role});
  bank_.commit(own);
  cursor_ = cursor;
}

at::Tensor Reader::read(const at::Tensor& embeddings, std::span<const int64_t> positions, LogitRows logits,
                        const PositionCursor& cursor) {
  TORCH_CHECK(embeddings.size(1) == static_cast<int64_t>(positions.size()), "a position for every row");
  Input in = next_input(positions, logits);
  in.embeddings = embeddings;
  const at::Tensor out = decoder_->run(in).logits;
  commit(positions, Role::memory, cursor);
  return out;
}

Accounting Reader::accounting() const {
  Accounting a;
  a.source_tokens = source_tokens_;
  a.slots = a.peak_slots = bank_.size();
  a.memory_bytes = bank_.memory_bytes();
  a.allocated_bytes = bank_.allocated_bytes();
  if (slots_ > 0) a.slots_by_role["slot"] = slots_;
  if (tasks_ > 0) a.slots_by_role["task"] = tasks_;
  if (const int64_t tokens = bank_.size() - slots_ - tasks_; tokens > 0) a.slots_by_role["token"] = tokens;
  a.reading = fmt::format("{} slots per span as input embeddings, everything else as tokens; nothing is dropped",
                          adapter_->settings.k);
  return a;
}

// Slots stand for all tokens of their span.
std::vector<int64_t> Reader::kept_positions(int64_t, int64_t) const {
  std::vector<int64_t> all(static_cast<size_t>(source_tokens_));
  std::iota(all.begin(), all.end(), int64_t{0});
  return all;
}

std::map<std::string, int64_t> Reader::counts() const {
  return {{"tokens_seen", source_tokens_},
          {"slots", slots_},
          {"task_tokens", tasks_},
          {"next_position", cursor_.next()},
          {"text_begin", cursor_.text_begin() + 1}};
}

void Reader::save(const std::string& path, const Identity& identity) const {
  save_stream(path, kind_, identity, counts(), tensors());
}

void Reader::restore(const SavedStream& file) {
  const int64_t seen = file.count("tokens_seen"), slots = file.count("slots"), tasks = file.count("task_tokens");
  Bank bank(decoder_->config(), decoder_->compute_dtype(), decoder_->device());
  bank.load(file.tensors());
  const int64_t next = file.count("next_position"), text_begin = file.count("text_begin") - 1;
  const bool standard = adapter_->settings.position_layout() == PositionLayout::standard;
  int64_t learned = 0, last = -1;
  for (int64_t row = 0; row < bank.size(); ++row) {
    const int64_t position = bank.table()[row].position;
    // Only rows in a row are known beforehand.
    if (standard ? position != row : position < 0 || position > seen + bank.size())
      throw InputError("row {} stands at {}", row, position);
    last = std::max(last, position);
    learned += bank.table()[row].role == Role::memory;
  }
  if (standard ? next != bank.size() || text_begin != -1 : next > seen + bank.size() + 1 || text_begin > last)
    throw InputError("the next position is {} after {} rows, the text begins at {}", next, bank.size(), text_begin);
  if (learned != slots + tasks || slots % adapter_->settings.k != 0)
    throw InputError("{} slots and {} task tokens, but {} rows of such", slots, tasks, learned);
  if (seen < bank.size() - learned + slots / adapter_->settings.k)
    throw InputError("{} rows for {} tokens", bank.size(), seen);
  bank_ = std::move(bank);
  cursor_.restore(next, text_begin);
  source_tokens_ = seen, slots_ = slots, tasks_ = tasks;
}

void Reader::load(const std::string& path, const Identity& identity) {
  const c10::InferenceMode inference;
  const SavedStream file(path, kind_, identity);
  try {
    restore(file);
  } catch (const InputError& error) {
    throw InputError("[load] {}: {}", path, error.what());
  }
}

}  // namespace steno::icae
