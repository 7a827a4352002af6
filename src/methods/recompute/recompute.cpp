#include "methods/recompute/recompute.h"

#include <algorithm>

#include "memory/reread_stream.h"

namespace steno {
namespace {

struct Params {
  int64_t block = 0;
  int64_t start = 0;
  template <class F>
  void visit(F&& f) {
    f("block", block, "tokens between two rebuilds; 1: one per token; 0: a sixteenth of the budget, at most 64");
    f("start", start, "first tokens that stay in the window for ever, such as a system prompt");
  }
};

class Recompute : public Method {
 public:
  std::string name() const override { return "recompute"; }
  int version() const override { return 1; }
  std::string summary() const override { return "reads the newest tokens again, every time the window is full"; }
  std::vector<FieldInfo> parameters() const override { return list_fields(Params{}); }
  int64_t expected_slots(const StreamOptions& options, int64_t tokens) const override {
    return rule(options).size_after(tokens);
  }
  std::pair<int64_t, int64_t> expected_bytes(const StreamOptions& options, int64_t tokens, int64_t) const override {
    const auto bytes = static_cast<int64_t>(sizeof(TokenId)) * expected_slots(options, tokens);
    return {bytes, bytes};
  }
  std::unique_ptr<Stream> open_stream(std::shared_ptr<const Decoder> decoder,
                                      const StreamOptions& options) const override {
    const WindowRule window = rule(options);
    RereadConfig config{.kind = {name(), version(), field_values(params(options))}, .window = window};
    config.kind.params["budget"] = std::to_string(window.budget);
    if (options.chunk_size > 0) config.chunk_size = options.chunk_size;
    config.reading = fmt::format("a window of {} is read again every {} tokens", window.budget, window.block);
    return open_reread_stream(std::move(decoder), config);
  }

 private:
  Params params(const StreamOptions& options) const {
    Params params;
    set_fields(name(), params, options.params);
    return params;
  }
  WindowRule rule(const StreamOptions& options) const {
    const Params p = params(options);
    const int64_t budget = options.budget == 0 ? 1024 : options.budget;
    if (p.start < 0) throw UsageError("[recompute] start is {}; it must be 0 or more", p.start);
    if (p.block < 0) throw UsageError("[recompute] block is {}; it must be 0 or more", p.block);
    const int64_t block = p.block > 0 ? p.block : std::clamp<int64_t>(budget / 16, 1, 64);
    if (budget < block || budget - block < p.start)
      throw UsageError("[recompute] budget is {} with {} start tokens and blocks of {}; it must be at least {}", budget,
                       p.start, block, static_cast<double>(p.start) + static_cast<double>(block));
    return {.budget = budget, .start = p.start, .recent = 0, .block = block};
  }
};

}  // namespace

const Method* recompute_method() {
  static const Recompute method;
  return &method;
}

}  // namespace steno
