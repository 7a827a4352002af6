// Who stands where, in integers (icae, sections 2, 4 and 5). Ids beyond the vocabulary: PAD = V, memory tokens V+1 ..
// V+k, then AE, LM, FT. In a decoder's sequence the first memory id is the place of a slot.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "methods/icae/settings.h"

namespace steno::icae {

struct IdPlan {
  int64_t vocab = 0, k = 0;
  int64_t pad() const { return vocab; }
  int64_t memory(int64_t index) const { return vocab + 1 + index; }
  int64_t slot() const { return memory(0); }
  int64_t ae() const { return vocab + 1 + k; }
  int64_t lm() const { return vocab + 2 + k; }
  int64_t ft() const { return vocab + 3 + k; }
  bool is_text(int64_t id) const { return id >= 0 && id < vocab; }
  bool is_memory(int64_t id) const { return id > vocab && id <= vocab + k; }
  bool is_task(int64_t id) const { return id > vocab + k && id <= vocab + k + 3; }
  // Row of the learned table: memory tokens, AE, LM, FT.
  int64_t row(int64_t id) const { return id - vocab - 1; }
};

inline constexpr int64_t kIgnored = -100;

// One example. Labels are aligned with ids: label i is predicted from position i - 1.
struct Layout {
  std::string objective;                    // "ae", "lm", "ft"
  std::vector<std::vector<TokenId>> spans;  // what the encoder reads, each followed by the k memory tokens
  std::vector<int64_t> ids, labels;         // what the decoder reads
  std::vector<int64_t> positions;           // where it stands
  int64_t text_tokens = 0;                  // of all spans
  int64_t supervised() const;
};

using Spans = std::vector<std::vector<TokenId>>;

// 5.1: slots [AE] w1 .. wn EOS; w and EOS are supervised.
Layout autoencoding(const IdPlan& plan, const Settings& settings, const Spans& spans);
// 5.2: slots ([LM]) o1 .. oN; supervised from number `leave` + 1 on.
Layout continuation(const IdPlan& plan, const Settings& settings, const Spans& spans, std::span<const TokenId> next,
                    int64_t leave);
// 5.3: before, slots, [FT] p1 .. pm, after, r1 .. rn END; r and END are supervised.
Layout instruction(const IdPlan& plan, const Settings& settings, const Spans& spans, std::span<const TokenId> prompt,
                   std::span<const TokenId> answer);

struct SamplerOptions {
  int64_t window = 512;         // tokens of a text that are read, BOS included
  int64_t multi_window = 2048;  // likewise where several spans are wanted
  double multi_span_share = 0;  // how often that is
  double lm_ratio = 0;          // how often a continuation is wanted
  int64_t min_tokens_for_lm = 64;
  int64_t bos = -1;  // stands in front of what is read
};

// What is made of a document: `read`, with BOS, is compressed; `next` is to be continued, empty for autoencoding.
struct Draw {
  std::vector<TokenId> read, next;
};

// Section 5.2. A document that is longer than the window gives a random window and what follows it, a shorter one is
// cut anywhere; where at most min_tokens_for_lm follow, the sample becomes autoencoding. An empty document gives an
// empty draw.
Draw draw_text(std::span<const TokenId> document, const SamplerOptions& options, Random& random);

}  // namespace steno::icae
