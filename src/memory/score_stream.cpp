#include "memory/score_stream.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "memory/bank.h"
#include "memory/last_queries.h"
#include "memory/packed_keys.h"
#include "memory/query_window.h"
#include "memory/stream_frame.h"

namespace steno {
namespace {

using Kind = Statistics::Kind;

Places ranks_of(const Bank& bank) {
  Places places(static_cast<size_t>(bank.tables()));
  at::parallel_for(0, bank.tables(), 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto order = bank.table(i).order();
      auto& ranks = places[static_cast<size_t>(i)];
      ranks.resize(order.size());
      for (size_t rank = 0; rank < order.size(); ++rank)
        ranks[static_cast<size_t>(order[rank])] = static_cast<int64_t>(rank);
    }
  });
  return places;
}

Places positions_of(const Bank& bank) {
  Places places;
  for (int64_t i = 0; i < bank.tables(); ++i) places.push_back(bank.table(i).positions());
  return places;
}

class ScoreStream : public Stream {
 public:
  ScoreStream(std::shared_ptr<const Decoder> decoder, std::shared_ptr<const Retention> rule,
              const ScoreStreamConfig& config)
      : decoder_(std::move(decoder)),
        rule_(std::move(rule)),
        config_(config),
        wanted_(rule_->statistics()),
        bank_(empty_bank()),
        packed_(decoder_),
        queries_(wanted_.queries) {}

  FeedResult feed(std::span<const TokenId> tokens, LogitRows logits,
                  const std::function<void(int64_t)>& progress) override {
    const c10::InferenceMode inference;
    check_token_ids(tokens, decoder_->config().vocab);
    FeedResult result{seen_, {}};
    const bool may_cut = config_.cut_single_tokens || tokens.size() > 1;
    auto left = static_cast<int64_t>(tokens.size());
    result.logits = feed_in_chunks(
        tokens, logits, config_.chunk_size, progress, [&](std::span<const TokenId> chunk, LogitRows rows) {
          left -= static_cast<int64_t>(chunk.size());
          return read_chunk(chunk, rows, may_cut && (config_.cut == CutAt::chunk || left == 0));
        });
    if (logits == LogitRows::last) result.first_position = seen_ - 1;
    return result;
  }

  PendingToken begin_token(TokenId token, LogitRows logits) override {
    check_token_ids(std::span(&token, 1), decoder_->config().vocab);
    Chunk chunk = begin_chunk(std::span(&token, 1), logits, config_.cut_single_tokens);
    Input in = chunk.input;
    return {decoder_.get(), std::move(in), [this, chunk = std::move(chunk)](const Output& out) {
              finish_chunk(chunk, out);
              return FeedResult{seen_ - 1, out.logits.defined() ? out.logits.squeeze(0) : at::Tensor()};
            }};
  }

  void end_of_utterance() override { ++segment_; }

  bool forget(std::span<const int64_t> positions) override {
    const c10::InferenceMode inference;
    const std::set<int64_t> gone(positions.begin(), positions.end());
    if (gone.empty()) return true;
    // Kept queries stand at the newest ranks, one behind the other.
    if (packs() && keeps_queries() && *gone.rbegin() >= seen_ - queries_.size()) return false;
    std::vector<std::vector<int64_t>> rows;
    for (int64_t i = 0; i < bank_.tables(); ++i) rows.push_back(bank_.table(i).rows_at(gone));
    for (const auto& list : rows)
      if (list.size() != rows[0].size()) return false;
    bank_.evict_each(rows);
    return true;
  }

  int64_t vocab() const override { return decoder_->config().vocab; }
  int64_t tokens_seen() const override { return seen_; }
  int64_t chunk_size() const override { return config_.chunk_size; }

  Accounting accounting() const override {
    Accounting a;
    a.source_tokens = seen_;
    a.slots = bank_.size();
    std::vector<bool> held(static_cast<size_t>(seen_), false);
    for (int64_t i = 0; i < bank_.tables(); ++i)
      for (int64_t row = 0; row < bank_.table(i).size(); ++row)
        held[static_cast<size_t>(bank_.table(i)[row].position)] = true;
    std::vector<int64_t> kept;
    for (int64_t position = 0; position < seen_; ++position)
      if (held[static_cast<size_t>(position)]) kept.push_back(position);
    a.dropped_tokens = seen_ - static_cast<int64_t>(kept.size());
    a.dropped_ranges = ranges_without(kept, seen_);
    a.memory_bytes = bank_.memory_bytes();
    a.allocated_bytes = bank_.allocated_bytes() + packed_.bytes() + queries_.bytes();
    a.peak_slots = peak_slots_;
    if (a.slots > 0) a.slots_by_role = rule_->roles(bank_.table(), seen_);
    a.reading = reading();
    return a;
  }

  std::unique_ptr<Stream> fork() const override {
    const c10::InferenceMode inference;
    return std::unique_ptr<ScoreStream>(new ScoreStream(*this));
  }

  std::vector<int64_t> kept_positions(int64_t layer, int64_t kv_head) const override {
    auto positions = bank_.table(bank_.table_of(layer, kv_head)).positions();
    std::sort(positions.begin(), positions.end());
    return positions;
  }

  void save(const std::string& path, const Identity& identity) const override {
    NamedTensors tensors = bank_.save();
    if (keeps_queries()) {
      for (int64_t layer = 0; layer < decoder_->config().layers; ++layer)
        tensors.emplace_back(fmt::format("q.{}", layer), queries_.size() > 0
                                                             ? queries_.layer(layer).squeeze(0).contiguous()
                                                             : at::empty(query_shape(0), at::kFloat));
    }
    save_stream(path, kind(), identity,
                {{"tokens_seen", seen_}, {"segment", segment_}, {"step", step_}, {"peak_slots", peak_slots_}}, tensors);
  }

  void load(const std::string& path, const Identity& identity) override {
    const SavedStream file(path, kind(), identity);
    const int64_t seen = file.count("tokens_seen"), segment = file.count("segment"), step = file.count("step"),
                  peak = file.count("peak_slots");
    try {
      Bank bank = empty_bank();
      bank.load(file.tensors());
      check_tables(bank, seen, step);
      QueryWindow queries = load_queries(file.tensors(), seen);
      bank_ = std::move(bank);
      queries_ = std::move(queries);
    } catch (const InputError& error) {
      throw InputError("[load] {}: {}", path, error.what());
    }
    seen_ = seen, segment_ = segment, step_ = step, peak_slots_ = peak;
  }

 private:
  ScoreStream(const ScoreStream& other)
      : decoder_(other.decoder_),
        rule_(other.rule_),
        config_(other.config_),
        wanted_(other.wanted_),
        bank_(other.bank_.fork()),
        packed_(decoder_),
        queries_(other.queries_),
        seen_(other.seen_),
        segment_(other.segment_),
        step_(other.step_),
        peak_slots_(other.peak_slots_) {}

  Bank empty_bank() const {
    return Bank(decoder_->config(), decoder_->compute_dtype(), decoder_->device(), rule_->sharing());
  }
  StreamKind kind() const { return {config_.method, config_.version, config_.params}; }
  bool packs() const { return config_.positions == PositionMode::packed; }
  // A rule that asks for one query is always answered from the chunk itself.
  bool keeps_queries() const { return wanted_.kind == Kind::last_queries && wanted_.queries > 1; }
  std::vector<int64_t> query_shape(int64_t tokens) const {
    return {decoder_->config().heads, tokens, decoder_->config().d_h};
  }

  std::string reading() const {
    const std::string pieces =
        config_.chunk_size == 1 ? "one token at a time" : fmt::format("chunks of {}", config_.chunk_size);
    std::string text = config_.cut == CutAt::feed ? fmt::format("every feed whole in {}, then one cut", pieces)
                       : config_.chunk_size == 1  ? pieces + ", cut after every token"
                                                  : pieces + ", cut after every chunk";
    if (!config_.cut_single_tokens) text += "; tokens fed alone are added without a cut";
    return text;
  }

  // What the rest of this class relies on.
  void check_tables(const Bank& bank, int64_t seen, int64_t step) const {
    for (int64_t layer = 0; layer < decoder_->config().layers; ++layer)
      if (bank.size(layer) != bank.size())
        throw InputError("layer {} has {} slots, the first one {}", layer, bank.size(layer), bank.size());
    for (int64_t i = 0; i < bank.tables(); ++i) {
      const SlotTable& table = bank.table(i);
      std::vector<int64_t> positions = table.positions();
      std::sort(positions.begin(), positions.end());
      for (size_t n = 0; n < positions.size(); ++n) {
        if (positions[n] < 0 || positions[n] >= seen)
          throw InputError("a slot is of token {}, of {} tokens seen", positions[n], seen);
        if (n > 0 && positions[n] == positions[n - 1]) throw InputError("two slots are of token {}", positions[n]);
      }
      for (int64_t row = 0; row < table.size(); ++row) {
        if (table[row].born < 0 || table[row].born >= step)
          throw InputError("a slot was read in step {}, of {} steps", table[row].born, step);
        if (!(table[row].mass >= 0)) throw InputError("a slot has received {} of attention", table[row].mass);
      }
    }
  }

  QueryWindow load_queries(const NamedTensors& tensors, int64_t seen) const {
    QueryWindow queries(wanted_.queries);
    if (!keeps_queries()) return queries;
    std::vector<at::Tensor> layers;
    for (int64_t layer = 0; layer < decoder_->config().layers; ++layer) {
      const std::string name = fmt::format("q.{}", layer);
      const auto found =
          std::find_if(tensors.begin(), tensors.end(), [&](const auto& item) { return item.first == name; });
      if (found == tensors.end()) throw InputError("tensor '{}' is missing", name);
      if (found->second.scalar_type() != at::kFloat ||
          found->second.sizes() != query_shape(std::min(seen, wanted_.queries)))
        throw InputError("tensor '{}' does not fit the model", name);
      layers.push_back(found->second.unsqueeze(0).to(decoder_->device()));
    }
    if (seen > 0) queries.push(layers);
    return queries;
  }

  // One call of the decoder and what is done with its results.
  struct Chunk {
    std::vector<Slot> own;
    Input input;
    Places places;
    bool cut = false;
  };

  at::Tensor read_chunk(std::span<const TokenId> tokens, LogitRows logits, bool may_cut) {
    const Chunk chunk = begin_chunk(tokens, logits, may_cut);
    const Output out = decoder_->run(chunk.input);
    finish_chunk(chunk, out);
    return out.logits;
  }

  Chunk begin_chunk(std::span<const TokenId> tokens, LogitRows logits, bool may_cut) {
    const auto steps = static_cast<int64_t>(tokens.size());
    const int64_t rows = bank_.size();
    Chunk chunk;
    chunk.cut = may_cut && rows + steps > config_.budget;
    bank_.reserve(steps);
    for (int64_t t = 0; t < steps; ++t) chunk.own.push_back({seen_ + t, segment_, step_, step_, 0, Role::token});

    const at::Device device = decoder_->device();
    Input& in = chunk.input;
    const at::Tensor ids = at::empty({1, steps}, at::kLong);
    std::copy(tokens.begin(), tokens.end(), ids.mutable_data_ptr<int64_t>());
    in.ids = ids.to(device);
    const int64_t first = packs() ? rows : seen_;
    in.positions = at::arange(first, first + steps, at::kLong).unsqueeze(0).to(device);
    Places& places = chunk.places;
    if (packs()) {
      places = ranks_of(bank_);
      in.rope_length = rows + steps;
      in.rows = packed_.rows_for(bank_, steps, places, in.rope_length);
    } else {
      if (has_sliding_layers(decoder_->config())) places = positions_of(bank_);
      in.rows = bank_.rows_for(steps);
    }
    if (has_sliding_layers(decoder_->config()) && rows > 0) in.row_positions = row_positions(places);
    ask_for_statistics(in.capture, steps, chunk.cut);
    in.logits = logits;
    return chunk;
  }

  void finish_chunk(const Chunk& chunk, const Output& out) {
    if (packs()) PackedKeys::store(bank_, out.unrotated_keys);
    bank_.commit(chunk.own);
    peak_slots_ = std::max(peak_slots_, bank_.size());
    seen_ += static_cast<int64_t>(chunk.own.size());
    tell_statistics(chunk.input, out, chunk.places, chunk.cut);
    ++step_;
    if (chunk.cut) evict();
  }

  void ask_for_statistics(Capture& capture, int64_t steps, bool cut) const {
    capture.unrotated_keys = packs();
    capture.mass = wanted_.kind == Kind::mass || answers_from_mass(steps, cut);
    capture.peak = wanted_.kind == Kind::peak;
    if (keeps_queries())
      (packs() ? capture.unrotated_queries : capture.queries) = true;
    else
      capture.queries = wanted_.kind == Kind::last_queries && cut && !capture.mass;
  }
  // All queries of the chunk are those that the rule asks for.
  bool answers_from_mass(int64_t steps, bool cut) const {
    return wanted_.kind == Kind::last_queries && cut && steps == wanted_.queries;
  }

  void tell_statistics(const Input& in, const Output& out, const Places& places, bool cut) {
    if (wanted_.kind == Kind::none) return;
    const int64_t steps = in.ids.size(1);
    if (keeps_queries()) queries_.push(packs() ? out.unrotated_queries : out.queries);
    if (wanted_.kind == Kind::peak)
      observe(out.peak);
    else if (wanted_.kind == Kind::mass || answers_from_mass(steps, cut))
      observe(out.mass);
    else if (cut)
      observe(received_from_last_queries(in, out, places));
  }

  // [layers] of [1, H, S + T]: what the newest tokens give to everything held now.
  std::vector<at::Tensor> received_from_last_queries(const Input& in, const Output& out, const Places& places) {
    LastQueries last{.count = keeps_queries() ? queries_.size() : wanted_.queries, .fresh = in.ids.size(1)};
    last.first_place = (packs() ? bank_.size() : seen_) - last.count;
    const int64_t layers = decoder_->config().layers;
    for (int64_t layer = 0; layer < layers; ++layer) {
      const auto l = static_cast<size_t>(layer);
      last.queries.push_back(keeps_queries() ? queries_.layer(layer)
                                             : out.queries[l].narrow(2, last.fresh - last.count, last.count));
    }
    last.rotated = !(keeps_queries() && packs());
    return received_from(last, *decoder_, bank_, in.rows, packs() ? &places : nullptr, in.rope_length);
  }

  // statistics: [layers] of [1, H, S + T], in the order of the rows.
  void observe(const std::vector<at::Tensor>& statistics) {
    const int64_t planes = bank_.tables() / static_cast<int64_t>(statistics.size());  // tables of a layer
    const int64_t columns = bank_.size();
    TORCH_CHECK(planes > 0, "attention is told by layer or by head");
    std::vector<at::Tensor> host;
    for (const at::Tensor& t : statistics) host.push_back(t.to(at::kCPU, at::kFloat).contiguous());
    at::parallel_for(0, bank_.tables(), std::max<int64_t>(1, 8192 / columns), [&](int64_t begin, int64_t end) {
      std::vector<float> pooled(static_cast<size_t>(columns));
      for (int64_t i = begin; i < end; ++i) {
        const at::Tensor& t = host[static_cast<size_t>(i / planes)];
        const int64_t group = t.size(1) / planes;
        const float* received = t.const_data_ptr<float>() + i % planes * group * columns;
        std::copy(received, received + columns, pooled.begin());
        for (int64_t head = 1; head < group; ++head) {
          received += columns;
          for (size_t row = 0; row < pooled.size(); ++row)
            pooled[row] =
                wanted_.kind == Kind::peak ? std::max(pooled[row], received[row]) : pooled[row] + received[row];
        }
        if (wanted_.kind != Kind::peak)
          for (float& value : pooled) value /= static_cast<float>(group);
        rule_->observe(bank_.table(i), pooled, step_);
      }
    });
  }

  void evict() {
    std::vector<std::vector<int64_t>> victims(static_cast<size_t>(bank_.tables()));
    at::parallel_for(0, bank_.tables(), 4, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) victims[static_cast<size_t>(i)] = rule_->victims(bank_.table(i), seen_);
    });
    bank_.evict_each(victims);
    for (int64_t layer = 0; layer < decoder_->config().layers; ++layer)
      TORCH_CHECK(bank_.size(layer) == config_.budget, "the rule cuts to the budget");
  }

  // For sliding-window layers: [1, S] or [1, H_kv, S] of every layer.
  std::vector<at::Tensor> row_positions(const Places& places) const {
    std::vector<at::Tensor> result;
    const ModelConfig& config = decoder_->config();
    const bool by_head = rule_->sharing() == Sharing::head;
    const int64_t rows = bank_.size();
    for (int64_t layer = 0; layer < config.layers; ++layer) {
      const int64_t planes = by_head ? config.kv_heads : 1;
      const at::Tensor t = at::empty({1, planes, rows}, at::kLong);
      for (int64_t plane = 0; plane < planes; ++plane) {
        const auto& list = places[static_cast<size_t>(bank_.table_of(layer, plane))];
        std::copy(list.begin(), list.end(), t.mutable_data_ptr<int64_t>() + plane * rows);
      }
      result.push_back((by_head ? t : t.squeeze(1)).to(decoder_->device()));
    }
    return result;
  }

  std::shared_ptr<const Decoder> decoder_;
  std::shared_ptr<const Retention> rule_;
  ScoreStreamConfig config_;
  Statistics wanted_;
  Bank bank_;
  PackedKeys packed_;
  QueryWindow queries_;
  int64_t seen_ = 0, segment_ = 0, step_ = 0, peak_slots_ = 0;
};

}  // namespace

CutAt cut_named(const std::string& owner, const std::string& name) {
  if (name == "chunk") return CutAt::chunk;
  if (name == "feed") return CutAt::feed;
  throw UsageError("[{}] cut is '{}'; it is 'chunk' or 'feed'", owner, name);
}

std::unique_ptr<Stream> open_score_stream(std::shared_ptr<const Decoder> decoder, std::shared_ptr<const Retention> rule,
                                          const ScoreStreamConfig& config) {
  return std::make_unique<ScoreStream>(std::move(decoder), std::move(rule), config);
}

}  // namespace steno
