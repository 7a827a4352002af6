#include "methods/lfa/lfa.h"

#include "methods/lfa/lfa_rule.h"
#include "methods/score_method.h"

namespace steno {
namespace {

struct Params {
  double decay = 1;
  std::string score = "sum";
  int64_t grace = 32;
  ScoreParams common{.start = 4};
  template <class F>
  void visit(F&& f) {
    f("decay", decay, "what was received before a chunk counts this much after it, above 0 to 1");
    f("score", score, "sum: attention received from all queries; mean: per query that could read the slot");
    f("grace", grace, "newest tokens that are immune, besides all of the chunk just read");
    common.visit(f);
  }
};

class Lfa : public Method {
 public:
  std::string name() const override { return "lfa"; }
  int version() const override { return 1; }
  std::string summary() const override { return "evicts, layer by layer, what has received least attention"; }
  std::vector<FieldInfo> parameters() const override { return list_fields(Params{}); }
  bool same_for_any_chunks() const override { return false; }
  int64_t smallest_budget() const override { return Params{}.common.start + Params{}.grace + 1; }
  int64_t expected_slots(const StreamOptions& options, int64_t tokens) const override {
    return std::min(tokens, score_budget(options));
  }
  std::unique_ptr<Stream> open_stream(std::shared_ptr<const Decoder> decoder,
                                      const StreamOptions& options) const override {
    Params params;
    set_fields(name(), params, options.params);
    if (!(params.decay > 0 && params.decay <= 1))
      throw UsageError("[lfa] decay is {}; it must be above 0, and 1 at most", params.decay);
    check_count(*this, "grace", params.grace, 0);
    const int64_t start = params.common.start;
    check_count(*this, "start", start, 0);
    auto config = score_stream_config(*this, options, params.common, field_values(params), start + params.grace + 1,
                                      fmt::format("{} start and {} grace slots", start, params.grace));
    const ScoredBudget budget{.slots = config.budget, .start = start, .recent = params.grace, .whole_step = true};
    return open_score_stream(
        std::move(decoder),
        std::make_shared<LeastFrequentlyAttended>(budget, params.decay, mass_score_named(name(), params.score)),
        config);
  }
};

}  // namespace

const Method* lfa_method() {
  static const Lfa method;
  return &method;
}

}  // namespace steno
