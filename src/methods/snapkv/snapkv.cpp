#include "methods/snapkv/snapkv.h"

#include "methods/score_method.h"
#include "methods/snapkv/snapkv_rule.h"

namespace steno {
namespace {

struct Params {
  int64_t window = 32;
  int64_t kernel = 5;
  std::string pool = "avg";
  std::string decode = "append";
  ScoreParams common;
  template <class F>
  void visit(F&& f) {
    f("window", window, "newest tokens, always kept, whose attention chooses the rest of the budget");
    f("kernel", kernel, "neighbours that scores are pooled over, the slot itself among them; 1: no pooling");
    f("pool", pool, "avg or max");
    f("decode", decode,
      "append: tokens fed one at a time are added and nothing is evicted, as published; cut: the budget holds for them "
      "too");
    common.visit(f);
  }
};

Pooling pooling_named(const std::string& name) {
  if (name == "avg") return Pooling::average;
  if (name == "max") return Pooling::maximum;
  throw UsageError("[snapkv] pool is '{}'; it is 'avg' or 'max'", name);
}

bool cuts_single_tokens(const std::string& decode) {
  if (decode == "append") return false;
  if (decode == "cut") return true;
  throw UsageError("[snapkv] decode is '{}'; it is 'append' or 'cut'", decode);
}

class SnapKv : public Method {
 public:
  std::string name() const override { return "snapkv"; }
  int version() const override { return 1; }
  std::string summary() const override {
    return "keeps, head by head, what the last tokens of a prompt attend to, and these";
  }
  std::vector<FieldInfo> parameters() const override { return list_fields(Params{}); }
  bool same_for_any_chunks() const override { return false; }
  int64_t smallest_budget() const override { return Params{}.window + 1; }
  bool adds_single_tokens() const override { return true; }
  int64_t expected_slots(const StreamOptions& options, int64_t tokens) const override {
    return std::min(tokens, score_budget(options));
  }
  std::unique_ptr<Stream> open_stream(std::shared_ptr<const Decoder> decoder,
                                      const StreamOptions& options) const override {
    Params params;
    set_fields(name(), params, options.params);
    check_count(*this, "window", params.window, 1);
    check_count(*this, "kernel", params.kernel, 1);
    check_count(*this, "start", params.common.start, 0);
    const int64_t start = params.common.start;
    auto config = score_stream_config(*this, options, params.common, field_values(params), start + params.window + 1,
                                      fmt::format("{} start slots and a window of {}", start, params.window));
    config.cut_single_tokens = cuts_single_tokens(params.decode);
    const ScoredBudget budget{.slots = config.budget, .start = start, .recent = params.window};
    return open_score_stream(std::move(decoder),
                             std::make_shared<ObservedByWindow>(budget, params.kernel, pooling_named(params.pool)),
                             config);
  }
};

}  // namespace

const Method* snapkv_method() {
  static const SnapKv method;
  return &method;
}

}  // namespace steno
