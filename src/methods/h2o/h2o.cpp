#include "methods/h2o/h2o.h"

#include <cmath>

#include "methods/h2o/h2o_rule.h"
#include "methods/score_method.h"

namespace steno {
namespace {

struct Params {
  double recent = 0.5;
  std::string score = "sum";
  ScoreParams common;
  template <class F>
  void visit(F&& f) {
    f("recent", recent, "share of the budget that belongs to the newest tokens; the rest is for heavy hitters");
    f("score", score,
      "sum: attention received from all queries, as published; mean: per query that could read the slot");
    common.visit(f);
  }
};

class H2o : public Method {
 public:
  std::string name() const override { return "h2o"; }
  int version() const override { return 1; }
  std::string summary() const override {
    return "keeps, head by head, the slots that received most attention and the newest ones";
  }
  std::vector<FieldInfo> parameters() const override { return list_fields(Params{}); }
  bool same_for_any_chunks() const override { return false; }
  int64_t smallest_budget() const override { return 2; }
  int64_t expected_slots(const StreamOptions& options, int64_t tokens) const override {
    return std::min(tokens, score_budget(options));
  }
  std::unique_ptr<Stream> open_stream(std::shared_ptr<const Decoder> decoder,
                                      const StreamOptions& options) const override {
    Params params;
    set_fields(name(), params, options.params);
    if (!(params.recent >= 0 && params.recent <= 1))
      throw UsageError("[h2o] recent is {}; it is a share from 0 to 1", params.recent);
    const int64_t start = params.common.start;
    check_count(*this, "start", start, 0);
    const auto config = score_stream_config(*this, options, params.common, field_values(params), start + 2,
                                            fmt::format("{} start slots, a heavy hitter and the newest token", start));
    ScoredBudget budget{.slots = config.budget, .start = start};
    // Of large budgets a double knows the order of magnitude only; there is nothing to evict then.
    budget.recent = std::clamp<int64_t>(
        static_cast<int64_t>(
            std::llround(params.recent * static_cast<double>(std::min(config.budget, int64_t{1} << 40)))),
        0, config.budget - start);
    return open_score_stream(std::move(decoder),
                             std::make_shared<HeavyHitters>(budget, mass_score_named(name(), params.score)), config);
  }
};

}  // namespace

const Method* h2o_method() {
  static const H2o method;
  return &method;
}

}  // namespace steno
