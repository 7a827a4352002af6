#include "methods/dense/dense.h"

#include "memory/cache_stream.h"

namespace steno {
namespace {

struct Params {
  template <class F>
  void visit(F&&) {}
};

class Dense : public Method {
 public:
  std::string name() const override { return "dense"; }
  int version() const override { return 1; }
  std::string summary() const override { return "keeps every key and value; memory and time grow with the text"; }
  std::vector<FieldInfo> parameters() const override { return {}; }
  bool has_budget() const override { return false; }
  int64_t expected_slots(const StreamOptions&, int64_t tokens) const override { return tokens; }
  std::unique_ptr<Stream> open_stream(std::shared_ptr<const Decoder> decoder,
                                      const StreamOptions& options) const override {
    Params none;
    set_fields(name(), none, options.params);
    CacheStreamConfig config{.method = name(), .version = version()};
    // Nothing is masked, so larger chunks only save work: weights are dequantised once per chunk.
    config.chunk_size = 2048;
    if (options.chunk_size > 0) config.chunk_size = options.chunk_size;
    return open_cache_stream(std::move(decoder), std::make_shared<KeepAll>(), config);
  }
};

}  // namespace

const Method* dense_method() {
  static const Dense method;
  return &method;
}

}  // namespace steno
