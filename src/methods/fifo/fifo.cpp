#include "methods/fifo/fifo.h"

#include "memory/scored_retention.h"
#include "methods/score_method.h"

namespace steno {
namespace {

struct Params {
  ScoreParams common{.start = 4};
  template <class F>
  void visit(F&& f) {
    common.visit(f);
  }
};

// All slots rank the same, so the oldest leave. Nothing depends on the layer: one table for the model.
class Oldest : public ScoredRetention {
 public:
  using ScoredRetention::ScoredRetention;

 private:
  void score(const SlotTable&, std::span<const int64_t>, int64_t, std::span<double>) const override {}
  const char* ranked_role() const override { return "recent"; }
};

class Fifo : public Method {
 public:
  std::string name() const override { return "fifo"; }
  int version() const override { return 1; }
  std::string summary() const override { return "keeps the first tokens and the newest ones, chunk by chunk"; }
  std::vector<FieldInfo> parameters() const override { return list_fields(Params{}); }
  bool same_for_any_chunks() const override { return false; }
  int64_t smallest_budget() const override { return Params{}.common.start + 1; }
  int64_t expected_slots(const StreamOptions& options, int64_t tokens) const override {
    return std::min(tokens, score_budget(options));
  }
  std::unique_ptr<Stream> open_stream(std::shared_ptr<const Decoder> decoder,
                                      const StreamOptions& options) const override {
    Params params;
    set_fields(name(), params, options.params);
    const int64_t start = params.common.start;
    check_count(*this, "start", start, 0);
    auto config = score_stream_config(*this, options, params.common, field_values(params), start + 1,
                                      fmt::format("{} start slots", start));
    return open_score_stream(std::move(decoder),
                             std::make_shared<Oldest>(ScoredBudget{.slots = config.budget, .start = start}), config);
  }
};

}  // namespace

const Method* fifo_method() {
  static const Fifo method;
  return &method;
}

}  // namespace steno
