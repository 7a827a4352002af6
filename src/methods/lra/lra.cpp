#include "methods/lra/lra.h"

#include <cmath>

#include "methods/lra/lra_rule.h"
#include "methods/score_method.h"

namespace steno {
namespace {

struct Params {
  double threshold = 1;
  int64_t grace = 32;
  ScoreParams common{.start = 4};
  template <class F>
  void visit(F&& f) {
    f("threshold", threshold, "a slot counts as attended above this many times the uniform share");
    f("grace", grace, "newest tokens that are immune, besides all of the chunk just read");
    common.visit(f);
  }
};

class Lra : public Method {
 public:
  std::string name() const override { return "lra"; }
  int version() const override { return 1; }
  std::string summary() const override { return "evicts, layer by layer, what was least recently attended to"; }
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
    if (!(params.threshold >= 0) || std::isinf(params.threshold))
      throw UsageError("[lra] threshold is {}; it must be 0 or more", params.threshold);
    check_count(*this, "grace", params.grace, 0);
    const int64_t start = params.common.start;
    check_count(*this, "start", start, 0);
    auto config = score_stream_config(*this, options, params.common, field_values(params), start + params.grace + 1,
                                      fmt::format("{} start and {} grace slots", start, params.grace));
    const ScoredBudget budget{.slots = config.budget, .start = start, .recent = params.grace, .whole_step = true};
    return open_score_stream(std::move(decoder), std::make_shared<LeastRecentlyAttended>(budget, params.threshold),
                             config);
  }
};

}  // namespace

const Method* lra_method() {
  static const Lra method;
  return &method;
}

}  // namespace steno
