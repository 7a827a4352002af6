#include "methods/streaming_llm/streaming_llm.h"

#include "memory/cache_stream.h"

namespace steno {
namespace {

struct Params {
  int64_t sinks = 4;
  std::string positions = "packed";
  std::string order = "attend-first";
  template <class F>
  void visit(F&& f) {
    f("sinks", sinks, "start slots that are never evicted; the rest of the budget is the recent window");
    f("positions", positions, "packed: ranks in the cache, as published; gaps: original positions");
    f("order", order, "attend-first: a token reads budget slots and itself, as published; evict-first: one less");
  }
};

class StreamingLlm : public Method {
 public:
  std::string name() const override { return "streaming-llm"; }
  int version() const override { return 1; }
  std::string summary() const override { return "keeps the first tokens as attention sinks and the newest ones"; }
  std::vector<FieldInfo> parameters() const override { return list_fields(Params{}); }
  int64_t smallest_budget() const override { return Params{}.sinks + 1; }
  int64_t expected_slots(const StreamOptions& options, int64_t tokens) const override {
    return std::min(tokens, budget(options));
  }
  std::unique_ptr<Stream> open_stream(std::shared_ptr<const Decoder> decoder,
                                      const StreamOptions& options) const override {
    Params params;
    set_fields(name(), params, options.params);
    const int64_t slots = budget(options);
    if (params.sinks < 0) throw UsageError("[streaming-llm] sinks is {}; it must be 0 or more", params.sinks);
    if (slots <= params.sinks)
      throw UsageError("[streaming-llm] budget is {} with {} sinks; it must be at least {}", slots, params.sinks,
                       params.sinks + 1);
    CacheStreamConfig config{.method = name(), .version = version()};
    config.positions = position_mode_named(name(), params.positions);
    config.order = eviction_order_named(name(), params.order);
    // The rank of a query once the memory is full: after `slots` old ones, or as the last of `slots`.
    const bool evict_first = config.order == EvictionOrder::evict_first;
    config.start = params.sinks;
    config.packed_limit = evict_first ? slots - 1 : slots;
    if (options.chunk_size > 0) config.chunk_size = options.chunk_size;
    config.params = field_values(params);
    config.params["budget"] = std::to_string(slots);
    const int64_t recent = slots - params.sinks;
    config.recent = recent;
    return open_cache_stream(std::move(decoder),
                             std::make_shared<StartAndRecent>(params.sinks, evict_first ? recent - 1 : recent), config);
  }

 private:
  static int64_t budget(const StreamOptions& options) { return options.budget == 0 ? 1024 : options.budget; }
};

}  // namespace

const Method* streaming_llm_method() {
  static const StreamingLlm method;
  return &method;
}

}  // namespace steno
