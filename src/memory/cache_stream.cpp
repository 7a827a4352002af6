#include "memory/cache_stream.h"

#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "memory/stream_frame.h"

namespace steno {
namespace {

class CacheStream : public Stream {
 public:
  CacheStream(std::shared_ptr<const Decoder> decoder, std::shared_ptr<const Retention> rule,
              const CacheStreamConfig& config)
      : decoder_(std::move(decoder)),
        rule_(std::move(rule)),
        config_(config),
        bank_(decoder_->config(), decoder_->compute_dtype(), decoder_->device()) {
    TORCH_CHECK(rule_->visibility(), "rules that look at scores need a stream of their own");
  }

  FeedResult feed(std::span<const TokenId> tokens, LogitRows logits,
                  const std::function<void(int64_t)>& progress) override {
    const c10::InferenceMode inference;
    check_token_ids(tokens, decoder_->config().vocab);
    FeedResult result{seen_, {}};
    result.logits =
        feed_in_chunks(tokens, logits, config_.chunk_size, progress,
                       [&](std::span<const TokenId> chunk, LogitRows rows) { return read_chunk(chunk, rows); });
    if (logits == LogitRows::last) result.first_position = seen_ - 1;
    return result;
  }

  PendingToken begin_token(TokenId token, LogitRows logits) override {
    check_token_ids(std::span(&token, 1), decoder_->config().vocab);
    std::vector<Slot> own;
    Input in = begin_chunk(std::span(&token, 1), logits, own);
    return {decoder_.get(), std::move(in), [this, own](const Output& out) {
              finish_chunk(own);
              return FeedResult{seen_ - 1, out.logits.defined() ? out.logits.squeeze(0) : at::Tensor()};
            }};
  }

  void end_of_utterance() override { ++segment_; }

  // cache_policies, section 3. The recent slots that would leave while the turn is read leave now. What stays needs no
  // mask of its own: the rule reads every slot that is held until the turn has used up its room.
  void reserve(int64_t tokens) override {
    const c10::InferenceMode inference;
    if (config_.recent == 0 || tokens <= 0 || bank_.size() <= config_.start + config_.recent - tokens) return;
    const int64_t keep = std::max<int64_t>(config_.recent - tokens, 0);
    const int64_t cut = seen_ - keep;
    if (cut <= config_.start) return;
    std::vector<int64_t> rows;
    for (int64_t row = 0; row < bank_.size(); ++row)
      if (const int64_t at = bank_.table()[row].position; at >= config_.start && at < cut) rows.push_back(row);
    bank_.evict(rows);
    cut_ = cut;
  }

  bool forget(std::span<const int64_t> positions) override {
    const c10::InferenceMode inference;
    const std::set<int64_t> gone(positions.begin(), positions.end());
    // The start stands in the front rows; Input::front and saved files count on it.
    if (!gone.empty() && *gone.begin() < config_.start) return false;
    bank_.evict(bank_.table().rows_at(gone));
    return true;
  }

  int64_t vocab() const override { return decoder_->config().vocab; }
  int64_t tokens_seen() const override { return seen_; }
  int64_t chunk_size() const override { return config_.chunk_size; }

  Accounting accounting() const override {
    Accounting a;
    a.source_tokens = seen_;
    a.slots = bank_.size();
    a.dropped_tokens = seen_ - bank_.size();
    a.memory_bytes = bank_.memory_bytes();
    a.allocated_bytes = bank_.allocated_bytes();
    a.peak_slots = peak_slots_;
    const int64_t start = std::min(config_.start, bank_.size());
    if (start > 0) a.slots_by_role["start"] = start;
    if (bank_.size() > start) a.slots_by_role[config_.packed_limit > 0 ? "recent" : "token"] = bank_.size() - start;
    a.reading = fmt::format("chunks of {}, each row reads what it would token by token", config_.chunk_size);
    a.dropped_ranges = ranges_without(kept_positions(0, 0), seen_);
    return a;
  }

  std::unique_ptr<Stream> fork() const override {
    const c10::InferenceMode inference;
    return std::unique_ptr<CacheStream>(new CacheStream(*this));
  }

  std::vector<int64_t> kept_positions(int64_t, int64_t) const override {
    auto positions = bank_.table().positions();
    std::sort(positions.begin(), positions.end());
    return positions;
  }

  void save(const std::string& path, const Identity& identity) const override {
    save_stream(
        path, kind(), identity,
        {{"tokens_seen", seen_}, {"segment", segment_}, {"step", step_}, {"cut", cut_}, {"peak_slots", peak_slots_}},
        bank_.save());
  }

  void load(const std::string& path, const Identity& identity) override {
    const SavedStream file(path, kind(), identity);
    const int64_t seen = file.count("tokens_seen"), segment = file.count("segment"), step = file.count("step"),
                  peak = file.count("peak_slots"), cut = file.count("cut");
    try {
      Bank bank(decoder_->config(), decoder_->compute_dtype(), decoder_->device());
      bank.load(file.tensors());
      check_positions(bank.table(), seen, cut);
      bank_ = std::move(bank);
    } catch (const InputError& error) {
      throw InputError("[load] {}: {}", path, error.what());
    }
    seen_ = seen, segment_ = segment, step_ = step, peak_slots_ = peak, cut_ = cut;
  }

 private:
  StreamKind kind() const { return {config_.method, config_.version, config_.params}; }
  CacheStream(const CacheStream& other)
      : decoder_(other.decoder_),
        rule_(other.rule_),
        config_(other.config_),
        bank_(other.bank_.fork()),
        seen_(other.seen_),
        segment_(other.segment_),
        step_(other.step_),
        peak_slots_(other.peak_slots_),
        cut_(other.cut_) {}

  // What the rest of this class relies on: every slot is another token of those seen, none stands between the start and
  // the cut, and the start stands in front.
  void check_positions(const SlotTable& table, int64_t seen, int64_t cut) const {
    if (cut > seen) throw InputError("everything before token {} is dropped, of {} tokens seen", cut, seen);
    const auto order = table.order();
    for (size_t i = 0; i < order.size(); ++i) {
      const int64_t position = table[order[i]].position;
      if (position < 0 || position >= seen)
        throw InputError("a slot is of token {}, of {} tokens seen", position, seen);
      if (position >= config_.start && position < cut)
        throw InputError("a slot is of token {}, but everything before token {} is dropped", position, cut);
      if (i > 0 && position == table[order[i - 1]].position) throw InputError("two slots are of token {}", position);
    }
    for (int64_t row = 0; row < std::min(config_.start, seen); ++row)
      if (row >= table.size() || table[row].position != row) throw InputError("row {} is not token {}", row, row);
  }

  at::Tensor read_chunk(std::span<const TokenId> tokens, LogitRows logits) {
    std::vector<Slot> own;
    const Input in = begin_chunk(tokens, logits, own);
    const at::Tensor out = decoder_->run(in).logits;
    finish_chunk(own);
    return out;
  }

  Input begin_chunk(std::span<const TokenId> tokens, LogitRows logits, std::vector<Slot>& own) {
    const auto steps = static_cast<int64_t>(tokens.size());
    // Slots that not even the first query of the chunk reads go first; a single token then needs no mask at all.
    bank_.evict(rule_->victims(bank_.table(), seen_));
    bank_.reserve(steps);
    own.resize(static_cast<size_t>(steps));
    for (int64_t t = 0; t < steps; ++t)
      own[static_cast<size_t>(t)] = {seen_ + t, segment_, step_, step_, 0, Role::token};

    const at::Device device = decoder_->device();
    Input in;
    at::Tensor ids = at::empty({1, steps}, at::kLong);
    std::copy(tokens.begin(), tokens.end(), ids.mutable_data_ptr<int64_t>());
    in.ids = ids.to(device);
    const at::Tensor positions = at::arange(seen_, seen_ + steps, at::kLong).unsqueeze(0);
    in.positions = positions.to(device);
    in.rows = bank_.rows_for(steps);
    in.mask.allowed = visibility_mask(*rule_->visibility(), bank_.table(), own);
    if (in.mask.allowed.defined()) in.mask.allowed = in.mask.allowed.to(device);
    if (has_sliding_layers(decoder_->config())) {
      const auto kept = bank_.table().positions();
      in.row_positions = {at::tensor(kept, at::kLong).unsqueeze(0).to(device)};
    }
    // Until something is dropped, ranks are positions and nothing is packed.
    const int64_t gap = std::max<int64_t>(cut_ - config_.start, 0);
    if (config_.positions == PositionMode::packed && (gap > 0 || seen_ + steps - 1 > config_.packed_limit)) {
      in.rope_length = config_.packed_limit + 1;
      in.front.rows = std::min(config_.start, bank_.size() + steps);
      if (in.front.rows > 0) in.front.query_positions = (positions - gap).clamp_max(config_.packed_limit).to(device);
    }
    in.logits = logits;
    return in;
  }

  void finish_chunk(std::span<const Slot> own) {
    bank_.commit(own);
    peak_slots_ = std::max(peak_slots_, bank_.size());
    seen_ += static_cast<int64_t>(own.size());
    ++step_;
    // After the chunk the memory is back within its budget.
    bank_.evict(rule_->victims(bank_.table(), config_.order == EvictionOrder::attend_first ? seen_ : seen_ - 1));
  }

  std::shared_ptr<const Decoder> decoder_;
  std::shared_ptr<const Retention> rule_;
  CacheStreamConfig config_;
  Bank bank_;
  int64_t seen_ = 0, segment_ = 0, step_ = 0, peak_slots_ = 0;
  int64_t cut_ = 0;  // reserve() has dropped what stood between the start and this position
};

}  // namespace

PositionMode position_mode_named(const std::string& owner, const std::string& name) {
  if (name == "gaps") return PositionMode::gaps;
  if (name == "packed") return PositionMode::packed;
  throw UsageError("[{}] positions is '{}'; it is 'gaps' or 'packed'", owner, name);
}

EvictionOrder eviction_order_named(const std::string& owner, const std::string& name) {
  if (name == "evict-first") return EvictionOrder::evict_first;
  if (name == "attend-first") return EvictionOrder::attend_first;
  throw UsageError("[{}] order is '{}'; it is 'evict-first' or 'attend-first'", owner, name);
}

std::unique_ptr<Stream> open_cache_stream(std::shared_ptr<const Decoder> decoder, std::shared_ptr<const Retention> rule,
                                          const CacheStreamConfig& config) {
  return std::make_unique<CacheStream>(std::move(decoder), std::move(rule), config);
}

}  // namespace steno
