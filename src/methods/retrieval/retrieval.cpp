#include "methods/retrieval/retrieval.h"

#include <algorithm>
#include <cmath>

#include "memory/reread_stream.h"
#include "methods/retrieval/bm25.h"

namespace steno {
namespace {

struct Params {
  int64_t start = 4;
  int64_t passage = 0;
  int64_t recent = 0;
  int64_t block = 0;
  double k1 = 1.2;
  template <class F>
  void visit(F&& f) {
    f("start", start, "first tokens that are always read");
    f("passage", passage, "tokens per passage; 0: an eighth of the budget, at most 128");
    f("recent", recent,
      "newest tokens before a question that are always read; 0: a sixteenth of the budget, at most 64");
    f("block", block, "tokens kept free for an answer, and read per window of a text; 0: as `recent`");
    f("k1", k1, "BM25: how much a term gains by being repeated");
  }
};

int64_t share(int64_t value, int64_t budget, int64_t part, int64_t most) {
  return value > 0 ? value : std::clamp<int64_t>(budget / part, 1, most);
}

class Retrieval : public Method {
 public:
  std::string name() const override { return "retrieval"; }
  int version() const override { return 1; }
  std::string summary() const override { return "keeps the text and reads the best passages for a question (BM25)"; }
  std::vector<FieldInfo> parameters() const override { return list_fields(Params{}); }
  bool query_aware() const override { return true; }
  int64_t smallest_budget() const override { return Params{}.start + 2; }
  int64_t expected_slots(const StreamOptions& options, int64_t tokens) const override {
    return rule(options).size_after(tokens);
  }
  // The whole text; of the index at most one posting, and one term, per token.
  std::pair<int64_t, int64_t> expected_bytes(const StreamOptions&, int64_t tokens, int64_t) const override {
    return {tokens * static_cast<int64_t>(sizeof(TokenId)),
            tokens * static_cast<int64_t>(2 * sizeof(TokenId) + 8 + sizeof(std::vector<int>))};
  }
  std::unique_ptr<Stream> open_stream(std::shared_ptr<const Decoder> decoder,
                                      const StreamOptions& options) const override {
    const Params p = params(options);
    const WindowRule window = rule(options);
    const int64_t passage = share(p.passage, window.budget, 8, 128);
    RereadConfig config{.kind = {name(), version(), field_values(p)}, .window = window};
    config.kind.params["budget"] = std::to_string(window.budget);
    if (options.chunk_size > 0) config.chunk_size = options.chunk_size;
    config.reading = fmt::format(
        "passages of {} found by BM25 for each question and read again with it; text in blocks of {}, each with the "
        "passages for the {} tokens before it",
        passage, window.block, window.block);
    return open_reread_stream(std::move(decoder), config, std::make_unique<Bm25>(passage, p.k1));
  }

 private:
  Params params(const StreamOptions& options) const {
    Params p;
    set_fields(name(), p, options.params);
    for (const auto& [field, value] :
         {std::pair{"start", p.start}, {"passage", p.passage}, {"recent", p.recent}, {"block", p.block}})
      if (value < 0) throw UsageError("[retrieval] {} is {}; it must be 0 or more", field, value);
    if (!(p.k1 >= 0) || std::isinf(p.k1)) throw UsageError("[retrieval] k1 is {}; it must be 0 or more", p.k1);
    return p;
  }
  WindowRule rule(const StreamOptions& options) const {
    const Params p = params(options);
    const int64_t budget = options.budget == 0 ? 1024 : options.budget;
    const int64_t block = share(p.block, budget, 16, 64);
    if (budget <= block || budget - block <= p.start)
      throw UsageError("[retrieval] budget is {} with {} start tokens and blocks of {}; it must be at least {}", budget,
                       p.start, block, static_cast<double>(p.start) + static_cast<double>(block) + 1);
    return {.budget = budget, .start = p.start, .recent = share(p.recent, budget, 16, 64), .block = block};
  }
};

}  // namespace

const Method* retrieval_method() {
  static const Retrieval method;
  return &method;
}

}  // namespace steno
