#include "methods/bigbird/bigbird.h"

#include "memory/cache_stream.h"
#include "methods/bigbird/columns.h"
#include "methods/bigbird/sparse_stream.h"

namespace steno {
namespace {

struct Params {
  int64_t globals = 1;
  int64_t random = 4;
  std::string draw = "query";
  int64_t seed = 0;
  template <class F>
  void visit(F&& f) {
    f("globals", globals, "first tokens that every token reads");
    f("random", random, "columns drawn per token; the window is budget - globals - random");
    f("draw", draw,
      "query: every token draws anew, so all slots stay stored; key: tokens stay with falling probability");
    f("seed", seed, "of the draws");
  }
};

struct Setting {
  Params params;
  BigBirdSizes sizes;
  bool by_key = false;
};

class BigBird : public Method {
 public:
  std::string name() const override { return "bigbird"; }
  int version() const override { return 1; }
  std::string summary() const override { return "reads a window, the first tokens and some at random; stores all"; }
  std::vector<FieldInfo> parameters() const override { return list_fields(Params{}); }
  int64_t smallest_budget() const override { return Params{}.globals + Params{}.random + 1; }
  int64_t expected_slots(const StreamOptions& options, int64_t tokens) const override {
    const Setting setting = settle(options);
    if (!setting.by_key || tokens <= setting.sizes.budget()) return tokens;
    const DrawnByKey rule(setting.sizes);
    int64_t slots = 0;
    for (int64_t j = 0; j < tokens; ++j) slots += rule.visible(tokens - 1, {.position = j});
    return slots;
  }
  std::unique_ptr<Stream> open_stream(std::shared_ptr<const Decoder> decoder,
                                      const StreamOptions& options) const override {
    const Setting setting = settle(options);
    FieldValues params = field_values(setting.params);
    params["budget"] = std::to_string(setting.sizes.budget());
    // A chunk's tokens mask each other's draws: longer chunks read more rows per token than they save.
    const int64_t chunk_size = options.chunk_size > 0 ? options.chunk_size : 256;
    if (!setting.by_key)
      return open_sparse_stream(std::move(decoder), setting.sizes, {name(), version(), params}, chunk_size);
    CacheStreamConfig config{.method = name(), .version = version()};
    config.order = EvictionOrder::evict_first;
    config.chunk_size = chunk_size;
    config.params = params;
    return open_cache_stream(std::move(decoder), std::make_shared<DrawnByKey>(setting.sizes), config);
  }

 private:
  Setting settle(const StreamOptions& options) const {
    Setting s;
    set_fields(name(), s.params, options.params);
    const Params& p = s.params;
    if (p.draw != "query" && p.draw != "key")
      throw UsageError("[bigbird] draw is '{}'; it is 'query' or 'key'", p.draw);
    s.by_key = p.draw == "key";
    for (const auto& [field, value] : {std::pair{"globals", p.globals}, {"random", p.random}, {"seed", p.seed}})
      if (value < 0 || value > int64_t{1} << 40)
        throw UsageError("[bigbird] {} is {}; it must be 0 or more, and less than 2^40", field, value);
    const int64_t budget = options.budget == 0 ? 1024 : options.budget;
    if (budget <= p.globals + p.random)
      throw UsageError("[bigbird] budget is {} with {} globals and {} random columns; it must be at least {}", budget,
                       p.globals, p.random, p.globals + p.random + 1);
    s.sizes = {.window = budget - p.globals - p.random,
               .globals = p.globals,
               .random = p.random,
               .seed = static_cast<uint64_t>(p.seed)};
    return s;
  }
};

}  // namespace

const Method* bigbird_method() {
  static const BigBird method;
  return &method;
}

}  // namespace steno
