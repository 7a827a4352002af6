#include "methods/window/window.h"

#include "memory/cache_stream.h"

namespace steno {
namespace {

struct Params {
  std::string order = "evict-first";
  template <class F>
  void visit(F&& f) {
    f("order", order, "evict-first: a token reads budget slots, itself among them; attend-first: one more");
  }
};

// Positions are packed, which costs nothing: the window is a run without gaps, and rotary attention sees differences
// only.
class Window : public Method {
 public:
  std::string name() const override { return "window"; }
  int version() const override { return 1; }
  std::string summary() const override { return "keeps the newest tokens; everything older is gone"; }
  std::vector<FieldInfo> parameters() const override { return list_fields(Params{}); }
  int64_t expected_slots(const StreamOptions& options, int64_t tokens) const override {
    return std::min(tokens, budget(options));
  }
  std::unique_ptr<Stream> open_stream(std::shared_ptr<const Decoder> decoder,
                                      const StreamOptions& options) const override {
    Params params;
    set_fields(name(), params, options.params);
    const int64_t w = budget(options);
    if (w < 1) throw UsageError("[window] budget is {}; it must be at least 1", w);
    CacheStreamConfig config{.method = name(), .version = version()};
    config.order = eviction_order_named(name(), params.order);
    if (options.chunk_size > 0) config.chunk_size = options.chunk_size;
    config.params = field_values(params);
    config.params["budget"] = std::to_string(w);
    config.positions = PositionMode::packed;
    const int64_t older = config.packed_limit = config.order == EvictionOrder::evict_first ? w - 1 : w;
    return open_cache_stream(std::move(decoder), std::make_shared<StartAndRecent>(0, older), config);
  }

 private:
  static int64_t budget(const StreamOptions& options) { return options.budget == 0 ? 1024 : options.budget; }
};

}  // namespace

const Method* window_method() {
  static const Window method;
  return &method;
}

}  // namespace steno
