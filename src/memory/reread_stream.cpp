#include "memory/reread_stream.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>

#include "base/error.h"
#include "base/interrupt.h"
#include "memory/bank.h"
#include "memory/token_history.h"

namespace steno {
namespace {

// Everything that fork() copies and load() replaces.
struct State {
  TokenHistory history;
  std::unique_ptr<PassageFinder> finder;
  Window window;
  // The question that is being answered; empty while text is read.
  int64_t question_begin = 0, question_end = 0;
  // Keys and values of the window's first tokens, in its order: what the decoder has read of it so far.
  Bank bank;
  int64_t peak = 0;
};

class RereadStream : public Stream {
 public:
  RereadStream(std::shared_ptr<const Decoder> decoder, const RereadConfig& config, State state)
      : decoder_(std::move(decoder)), config_(config), state_(std::move(state)) {}

  static Bank empty_bank(const Decoder& decoder) {
    return Bank(decoder.config(), decoder.compute_dtype(), decoder.device());
  }

  FeedResult feed(std::span<const TokenId> tokens, LogitRows logits,
                  const std::function<void(int64_t)>& progress) override {
    const c10::InferenceMode inference;
    check_token_ids(tokens, decoder_->config().vocab);
    const auto count = static_cast<int64_t>(tokens.size());
    const bool question = state_.finder && logits == LogitRows::last && count > 1;
    const bool answer = answering() && logits != LogitRows::none && count == 1;
    FeedResult result{seen(), {}};
    result.logits = feed_in_chunks(tokens, logits, config_.chunk_size, progress,
                                   [&](std::span<const TokenId> chunk, LogitRows wanted) {
                                     if (answer) return read_answer(chunk);
                                     state_.question_begin = state_.question_end = 0;
                                     if (question && wanted == LogitRows::last) return read_question(chunk, count);
                                     return read_text(chunk, wanted);
                                   });
    if (logits == LogitRows::last) result.first_position = seen() - 1;
    return result;
  }

  int64_t vocab() const override { return decoder_->config().vocab; }
  int64_t tokens_seen() const override { return seen(); }
  int64_t chunk_size() const override { return config_.chunk_size; }

  Accounting accounting() const override {
    const Window& window = state_.window;
    Accounting a;
    a.source_tokens = seen();
    a.slots = window.size(seen());
    a.dropped_tokens = a.source_tokens - a.slots;
    a.dropped_ranges = ranges_without(window.positions(seen()), seen());
    const int64_t index = state_.finder ? state_.finder->memory_bytes() : 0;
    a.memory_bytes = state_.history.memory_bytes() + index + state_.bank.memory_bytes();
    a.allocated_bytes = state_.history.allocated_bytes() + index + state_.bank.allocated_bytes();
    a.peak_slots = state_.peak;
    const auto add = [&](const char* role, int64_t count) {
      if (count > 0) a.slots_by_role[role] = count;
      return count;
    };
    int64_t named = add("start", std::min(config_.window.start, seen()));
    named += add("passage", window.passages);
    if (answering()) named += add("question", state_.question_end - std::max(state_.question_begin, window.tail));
    add("recent", a.slots - named);
    a.reading = config_.reading;
    return a;
  }

  std::unique_ptr<Stream> fork() const override {
    const c10::InferenceMode inference;
    return std::make_unique<RereadStream>(
        decoder_, config_,
        State{state_.history, state_.finder ? state_.finder->fork() : nullptr, state_.window, state_.question_begin,
              state_.question_end, state_.bank.fork(), state_.peak});
  }

  std::vector<int64_t> kept_positions(int64_t, int64_t) const override { return state_.window.positions(seen()); }

  void save(const std::string& path, const Identity& identity) const override {
    const auto held = state_.history.held();
    at::Tensor ids = at::empty({static_cast<int64_t>(held.size())}, at::kInt);
    std::copy(held.begin(), held.end(), ids.mutable_data_ptr<int32_t>());
    NamedTensors tensors = state_.bank.save();
    tensors.emplace_back("text.ids", ids);
    save_stream(path, config_.kind, identity,
                {{"tokens_seen", seen()},
                 {"window_begin", state_.window.begin},
                 {"question_begin", state_.question_begin},
                 {"question_end", state_.question_end},
                 {"peak_slots", state_.peak}},
                tensors);
  }

  void load(const std::string& path, const Identity& identity) override {
    const SavedStream file(path, config_.kind, identity);
    try {
      state_ = loaded(file);
    } catch (const InputError& error) {
      const std::string line = error.what();
      throw InputError("{}{}", line.starts_with("[load]") ? "" : fmt::format("[load] {}: ", path), line);
    }
  }

 private:
  int64_t seen() const { return state_.history.seen(); }
  bool answering() const { return state_.question_end > 0; }

  Window build(const State& state, int64_t begin, int64_t question_begin, int64_t question_end) const {
    if (!state.finder) return window_before(config_.window, begin, begin, begin, {});
    return window_before(config_.window, begin, question_begin, question_end, [&](int64_t before) {
      return state.finder->find(state.history.at(question_begin, question_end), before);
    });
  }
  Window text_window(const State& state, int64_t begin) const {
    return begin == 0 ? Window{} : build(state, begin, begin - config_.window.block, begin);
  }

  // Another window: nothing of the old one's keys and values fits it.
  void change_window(Window window) {
    state_.window = std::move(window);
    if (state_.bank.size() > 0) state_.bank = empty_bank(*decoder_);
    if (!state_.finder) state_.history.forget(config_.window.start, state_.window.tail);
  }

  void append(std::span<const TokenId> tokens) {
    state_.history.append(tokens);
    if (state_.finder) state_.finder->append(tokens);
  }
  void note_size(int64_t slots) { state_.peak = std::max(state_.peak, slots); }

  at::Tensor read_text(std::span<const TokenId> tokens, LogitRows logits) {
    if (logits == LogitRows::all) {
      std::vector<at::Tensor> parts;
      for (size_t at = 0; at < tokens.size();) {
        const int64_t begin = config_.window.begin_for(seen());
        const int64_t end = begin == 0 ? config_.window.budget : begin + config_.window.block;
        const auto count = static_cast<size_t>(std::min(end - seen(), static_cast<int64_t>(tokens.size() - at)));
        append_text(tokens.subspan(at, count));
        parts.push_back(run(static_cast<int64_t>(count), static_cast<int64_t>(count)));
        at += count;
      }
      return parts.size() == 1 ? parts[0] : at::cat(parts, 0);
    }
    append_text(tokens);
    return logits == LogitRows::last ? run(static_cast<int64_t>(tokens.size()), 1) : at::Tensor();
  }

  void append_text(std::span<const TokenId> tokens) {
    append(tokens);
    note_size(std::min(seen(), config_.window.budget));  // as if token by token
    // An answer's window may begin where one of the text does; the questions tell them apart.
    const int64_t begin = config_.window.begin_for(seen() - 1);
    const Window& now = state_.window;
    const bool same = now.begin == begin && (begin == 0 || !state_.finder || now.question_end == begin) &&
                      (begin == 0 || !state_.finder || now.question_begin == begin - config_.window.block);
    if (!same) change_window(text_window(state_, begin));
  }

  at::Tensor read_question(std::span<const TokenId> last_chunk, int64_t length) {
    append(last_chunk);
    const int64_t end = seen();
    const int64_t begin = end - std::min(length, config_.window.longest_question());
    if (end > config_.window.budget) change_window(build(state_, end, begin, end));
    state_.question_begin = begin;
    state_.question_end = end;
    note_size(state_.window.size(end));
    return run(static_cast<int64_t>(last_chunk.size()), 1);
  }

  at::Tensor read_answer(std::span<const TokenId> token) {
    if (state_.window.size(seen()) == config_.window.budget)
      change_window(build(state_, seen(), state_.question_begin, state_.question_end));
    append(token);
    note_size(state_.window.size(seen()));
    return run(1, 1);
  }

  // Reads what is not yet read of the window, whose last `fresh` tokens have just come. Logits [rows, V] of the last
  // `rows` tokens.
  at::Tensor run(int64_t fresh, int64_t rows) {
    const Window& window = state_.window;
    const auto positions = window.positions(seen());
    const auto size = static_cast<int64_t>(positions.size());
    const int64_t room = window.begin == 0 ? size : config_.window.budget;
    state_.bank.reserve(room - state_.bank.size());
    // Tokens of the window that came with earlier feeds are read as if those had asked for logits: the same pieces, so
    // the same bits.
    const int64_t before = size - fresh;
    if (before > window.context_size() && before > state_.bank.size()) read_rows(positions, before, 0);
    return read_rows(positions, size, rows);
  }

  // Rows of the window up to `end`, in chunks.
  at::Tensor read_rows(const std::vector<int64_t>& positions, int64_t end, int64_t rows) {
    const at::Device device = decoder_->device();
    Bank& bank = state_.bank;
    std::vector<at::Tensor> parts;
    while (bank.size() < end) {
      if (interrupted()) throw Interrupted("interrupted while reading a window again; all {} tokens are kept", seen());
      const int64_t first = bank.size(), steps = std::min(config_.chunk_size, end - first);
      std::vector<Slot> own(static_cast<size_t>(steps));
      at::Tensor ids = at::empty({1, steps}, at::kLong);
      for (int64_t t = 0; t < steps; ++t) {
        const int64_t position = positions[static_cast<size_t>(first + t)];
        own[static_cast<size_t>(t)].position = position;
        ids.mutable_data_ptr<int64_t>()[t] = state_.history.at(position, position + 1)[0];
      }
      Input in;
      in.ids = ids.to(device);
      in.rows = bank.rows_for(steps);
      if (has_sliding_layers(decoder_->config()))
        in.row_positions = {at::arange(first, at::kLong).unsqueeze(0).to(device)};
      in.logits = LogitRows::none;
      const Output out = decoder_->run(in);
      bank.commit(own);
      const int64_t wanted = std::min(steps, first + steps - (end - rows));
      if (wanted > 0) parts.push_back(decoder_->head(out.hidden.narrow(1, steps - wanted, wanted)).squeeze(0));
    }
    if (parts.empty()) return {};
    return parts.size() == 1 ? parts[0] : at::cat(parts, 0);
  }

  State loaded(const SavedStream& file) const {
    const WindowRule& rule = config_.window;
    const int64_t seen = file.count("tokens_seen"), begin = file.count("window_begin");
    State next{.bank = empty_bank(*decoder_), .peak = file.count("peak_slots")};
    next.question_begin = file.count("question_begin");
    next.question_end = file.count("question_end");
    const bool answering = next.question_end > 0;
    if (begin > seen || (begin > 0 && (begin < rule.budget || seen - begin > rule.block)) ||
        (begin == 0 && seen > rule.budget) || (!answering && seen > 0 && begin != rule.begin_for(seen - 1)))
      throw InputError("a window begins at {} of {} tokens", begin, seen);
    if (next.question_begin > next.question_end || next.question_end > (begin > 0 ? begin : seen) ||
        (answering && (!state_.finder || next.question_begin == next.question_end)))
      throw InputError("a question is at {} .. {} of {} tokens", next.question_begin, next.question_end, seen);

    const at::Tensor ids = file.list("text.ids", at::kInt);
    std::vector<TokenId> held(ids.const_data_ptr<int32_t>(), ids.const_data_ptr<int32_t>() + ids.numel());
    check_token_ids(held, decoder_->config().vocab);
    const int64_t kept = state_.finder || begin == 0 ? seen : rule.budget - rule.block + seen - begin;
    if (ids.numel() != kept) throw InputError("tensor 'text.ids' has {} ids of {}", ids.numel(), kept);
    if (state_.finder) {
      next.finder = state_.finder->fork();
      next.finder->clear();
      next.finder->append(held);
    }
    const bool gap = !state_.finder && begin > 0;
    next.history = TokenHistory(std::move(held), gap ? rule.start : 0, gap ? seen - kept + rule.start : 0);
    next.window = !answering  ? text_window(next, begin)
                  : begin > 0 ? build(next, begin, next.question_begin, next.question_end)
                              : Window{};
    next.bank.load(file.tensors());
    const auto positions = next.window.positions(seen);
    for (int64_t row = 0; row < next.bank.size(); ++row)
      if (row >= static_cast<int64_t>(positions.size()) ||
          next.bank.table()[row].position != positions[static_cast<size_t>(row)])
        throw InputError("row {} is not of the window's token", row);
    return next;
  }

  std::shared_ptr<const Decoder> decoder_;
  RereadConfig config_;
  State state_;
};

}  // namespace

std::unique_ptr<Stream> open_reread_stream(std::shared_ptr<const Decoder> decoder, const RereadConfig& config,
                                           std::unique_ptr<PassageFinder> finder) {
  State state{.finder = std::move(finder), .bank = RereadStream::empty_bank(*decoder)};
  return std::make_unique<RereadStream>(std::move(decoder), config, std::move(state));
}

}  // namespace steno
