#include "methods/tova/tova.h"

#include "memory/scored_retention.h"
#include "methods/score_method.h"

namespace steno {
namespace {

struct Params {
  ScoreParams common;
  template <class F>
  void visit(F&& f) {
    common.visit(f);
  }
};

// Score: what the newest query gives to a slot, its own included; mean over all query heads of the layer.
class Rule : public ScoredRetention {
 public:
  using ScoredRetention::ScoredRetention;
  Sharing sharing() const override { return Sharing::layer; }
  Statistics statistics() const override { return {Statistics::Kind::last_queries, 1}; }
  void observe(SlotTable& table, std::span<const float> received, int64_t) const override {
    for (int64_t row = 0; row < table.size(); ++row) table[row].mass = received[static_cast<size_t>(row)];
  }

 private:
  void score(const SlotTable& table, std::span<const int64_t> ranked, int64_t,
             std::span<double> scores) const override {
    for (const int64_t row : ranked) scores[static_cast<size_t>(row)] = table[row].mass;
  }
  const char* ranked_role() const override { return "attended"; }
};

class Tova : public Method {
 public:
  std::string name() const override { return "tova"; }
  int version() const override { return 1; }
  std::string summary() const override { return "keeps, layer by layer, what the newest token attends to most"; }
  std::vector<FieldInfo> parameters() const override { return list_fields(Params{}); }
  bool same_for_any_chunks() const override { return false; }
  int64_t expected_slots(const StreamOptions& options, int64_t tokens) const override {
    return std::min(tokens, score_budget(options));
  }
  std::unique_ptr<Stream> open_stream(std::shared_ptr<const Decoder> decoder,
                                      const StreamOptions& options) const override {
    Params params;
    set_fields(name(), params, options.params);
    const int64_t start = params.common.start;
    check_count(*this, "start", start, 0);
    const auto config = score_stream_config(*this, options, params.common, field_values(params), start + 1,
                                            start > 0 ? fmt::format("{} start slots", start) : "");
    return open_score_stream(std::move(decoder),
                             std::make_shared<Rule>(ScoredBudget{.slots = config.budget, .start = start}), config);
  }
};

}  // namespace

const Method* tova_method() {
  static const Tova method;
  return &method;
}

}  // namespace steno
