#include "methods/bigbird/sparse_stream.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <numeric>

#include "memory/bank.h"
#include "methods/bigbird/chosen_rows.h"

namespace steno {
namespace {

class SparseStream : public Stream {
 public:
  SparseStream(std::shared_ptr<const Decoder> decoder, const BigBirdSizes& sizes, const StreamKind& kind,
               int64_t chunk_size, Bank bank)
      : decoder_(std::move(decoder)), rule_(sizes), kind_(kind), chunk_size_(chunk_size), bank_(std::move(bank)) {}

  static Bank empty_bank(const Decoder& decoder) {
    return Bank(decoder.config(), decoder.compute_dtype(), decoder.device());
  }

  FeedResult feed(std::span<const TokenId> tokens, LogitRows logits,
                  const std::function<void(int64_t)>& progress) override {
    const c10::InferenceMode inference;
    check_token_ids(tokens, decoder_->config().vocab);
    FeedResult result{bank_.size(), {}};
    result.logits =
        feed_in_chunks(tokens, logits, chunk_size_, progress,
                       [&](std::span<const TokenId> chunk, LogitRows wanted) { return read_chunk(chunk, wanted); });
    if (logits == LogitRows::last) result.first_position = bank_.size() - 1;
    return result;
  }

  int64_t vocab() const override { return decoder_->config().vocab; }
  int64_t tokens_seen() const override { return bank_.size(); }
  int64_t chunk_size() const override { return chunk_size_; }

  Accounting accounting() const override {
    const BigBirdSizes& sizes = rule_.sizes();
    Accounting a;
    a.source_tokens = a.slots = a.peak_slots = bank_.size();
    a.memory_bytes = bank_.memory_bytes();
    a.allocated_bytes = bank_.allocated_bytes() + chosen_.allocated_bytes();
    int64_t left = a.slots;
    const auto add = [&](const char* role, int64_t count) {
      if (std::min(count, left) > 0) a.slots_by_role[role] = std::min(count, left);
      left -= std::min(count, left);
    };
    add("global", sizes.globals);
    add("recent", sizes.window);
    add("stored", left);
    a.reading = fmt::format("chunks of {}, each token reads at most {} of the slots, as token by token", chunk_size_,
                            sizes.budget());
    return a;
  }

  std::unique_ptr<Stream> fork() const override {
    const c10::InferenceMode inference;
    return std::make_unique<SparseStream>(decoder_, rule_.sizes(), kind_, chunk_size_, bank_.fork());
  }

  std::vector<int64_t> kept_positions(int64_t, int64_t) const override { return bank_.table().positions(); }

  void save(const std::string& path, const Identity& identity) const override {
    save_stream(path, kind_, identity, {{"tokens_seen", bank_.size()}}, bank_.save());
  }

  void load(const std::string& path, const Identity& identity) override {
    const SavedStream file(path, kind_, identity);
    const int64_t seen = file.count("tokens_seen");
    Bank bank = empty_bank(*decoder_);
    try {
      bank.load(file.tensors());
      if (bank.size() != seen) throw InputError("{} slots of {} tokens", bank.size(), seen);
      for (int64_t row = 0; row < seen; ++row)
        if (bank.table()[row].position != row)
          throw InputError("row {} is of token {}", row, bank.table()[row].position);
    } catch (const InputError& error) {
      throw InputError("[load] {}: {}", path, error.what());
    }
    bank_ = std::move(bank);
    chosen_ = ChosenRows();
  }

 private:
  at::Tensor read_chunk(std::span<const TokenId> tokens, LogitRows logits) {
    const int64_t seen = bank_.size(), steps = static_cast<int64_t>(tokens.size());
    const at::Device device = decoder_->device();
    bank_.reserve(steps);
    const auto stored = bank_.rows_for(steps);
    const std::vector<int64_t> columns = steps == 1 ? columns_of_one(seen) : columns_of_chunk(seen, steps);
    const auto read = static_cast<int64_t>(columns.size());
    const bool choose = 2 * read < seen;  // copying fewer rows pays

    Input in;
    at::Tensor ids = at::empty({1, steps}, at::kLong);
    std::copy(tokens.begin(), tokens.end(), ids.mutable_data_ptr<int64_t>());
    in.ids = ids.to(device);
    in.positions = at::arange(seen, seen + steps, at::kLong).unsqueeze(0).to(device);
    in.rows = choose ? chosen_.choose(stored, columns, steps) : stored;
    std::vector<int64_t> all;
    if (!choose) {
      all.resize(static_cast<size_t>(seen));
      std::iota(all.begin(), all.end(), 0);
    }
    const std::vector<int64_t>& positions = choose ? columns : all;
    if (steps > 1 || read < static_cast<int64_t>(positions.size())) {
      in.mask.allowed = mask(seen, steps, positions);
      if (in.mask.allowed.defined()) in.mask.allowed = in.mask.allowed.to(device);
    }
    if (has_sliding_layers(decoder_->config()))
      in.row_positions = {at::tensor(positions, at::kLong).unsqueeze(0).to(device)};
    in.logits = logits;
    const at::Tensor out = decoder_->run(in).logits;
    if (choose) {
      for (size_t layer = 0; layer < stored.size(); ++layer) {
        stored[layer].k.narrow(2, seen, steps).copy_(in.rows[layer].k.narrow(2, read, steps));
        stored[layer].v.narrow(2, seen, steps).copy_(in.rows[layer].v.narrow(2, read, steps));
      }
    }
    std::vector<Slot> own(static_cast<size_t>(steps));
    for (int64_t t = 0; t < steps; ++t) own[static_cast<size_t>(t)].position = seen + t;
    bank_.commit(own);
    return out;
  }

  // The window's tokens stand where position mod its length says, so that one token's columns are in the same places as
  // those of the token before, but for what is new. The order depends on the position alone, and so do the bits.
  std::vector<int64_t> columns_of_one(int64_t query) const {
    const int64_t old = rule_.sizes().window - 1;
    if (query < rule_.sizes().budget()) return range(0, query);
    std::vector<int64_t> columns(static_cast<size_t>(old));
    for (int64_t j = query - old; j < query; ++j) columns[static_cast<size_t>(j % old)] = j;
    const auto far = rule_.far_columns(query);
    columns.insert(columns.end(), far.begin(), far.end());
    return columns;
  }

  // Stored columns that some token of the chunk reads, ascending.
  std::vector<int64_t> columns_of_chunk(int64_t first, int64_t steps) const {
    if (first < rule_.sizes().budget()) return range(0, first);
    std::vector<int64_t> columns = range(std::max<int64_t>(first - rule_.sizes().window + 1, 0), first);
    for (int64_t query = first; query < first + steps; ++query)
      for (const int64_t j : rule_.far_columns(query))
        if (j < first) columns.push_back(j);
    std::sort(columns.begin(), columns.end());
    columns.erase(std::unique(columns.begin(), columns.end()), columns.end());
    return columns;
  }

  // [1, 1, T, S + T] over the given stored columns (ascending, unless T is 1) and the tokens themselves; undefined
  // where the causal rule says the same.
  at::Tensor mask(int64_t first, int64_t steps, const std::vector<int64_t>& columns) const {
    const auto stored = static_cast<int64_t>(columns.size()), width = stored + steps;
    const at::Tensor allowed = at::zeros({1, 1, steps, width}, at::kBool);
    bool* open = allowed.mutable_data_ptr<bool>();
    bool causal = true;
    for (int64_t t = 0; t < steps; ++t, open += width) {
      const int64_t query = first + t;
      const auto column_of = [&](int64_t position) {
        return position >= first ? stored + position - first
                                 : std::lower_bound(columns.begin(), columns.end(), position) - columns.begin();
      };
      if (query < rule_.sizes().budget()) {
        std::fill(open, open + stored + t + 1, true);
        continue;
      }
      causal = false;
      std::fill(open + column_of(query - rule_.sizes().window + 1), open + stored + t + 1, true);
      for (const int64_t j : rule_.far_columns(query)) open[column_of(j)] = true;
    }
    return causal ? at::Tensor() : allowed;
  }

  static std::vector<int64_t> range(int64_t first, int64_t end) {
    std::vector<int64_t> all(static_cast<size_t>(end - first));
    std::iota(all.begin(), all.end(), first);
    return all;
  }

  std::shared_ptr<const Decoder> decoder_;
  DrawnByQuery rule_;
  StreamKind kind_;
  int64_t chunk_size_;
  Bank bank_;  // row p is position p
  ChosenRows chosen_;
};

}  // namespace

std::unique_ptr<Stream> open_sparse_stream(std::shared_ptr<const Decoder> decoder, const BigBirdSizes& sizes,
                                           const StreamKind& kind, int64_t chunk_size) {
  Bank bank = SparseStream::empty_bank(*decoder);
  return std::make_unique<SparseStream>(std::move(decoder), sizes, kind, chunk_size, std::move(bank));
}

}  // namespace steno
