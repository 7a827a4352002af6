// The fidelity certificate of `steno compress --certify`: every span is written back from its slots at once, its scores
// are stored with it, and a span that comes back too badly is compressed less, or kept as text.
#pragma once
#include <optional>
#include <span>
#include <vector>

#include "cli/reconstruction.h"

namespace steno {

// The one number that --min-fidelity is held against: the share of the characters that come back, 1 - edit_distance, of
// the greedy output. (Accuracy under teacher forcing looks fine where free-running output is not; icae, section 8.23.)
double fidelity_of(const SpanScore& score);

struct CertifyOptions {
  std::optional<double> min_fidelity;  // 0..1; none: scores are stored, nothing is changed
  // How often a span may be cut in halves. Halves have as many slots as the whole, so each cut halves the ratio.
  int64_t halvings = 2;
  // The type that slots are stored as: its score decides. `also` are measured besides, for what another choice costs.
  SlotType stored = SlotType::f32;
  std::vector<SlotType> also;
};

// A piece of a span as it is to be stored.
struct CertifiedPiece {
  int64_t begin = 0, end = 0;  // tokens of the span given, half-open; pieces follow each other without gaps
  SpanSlots slots;             // as the compressor wrote them, not rounded; empty where `raw`
  bool raw = false;            // kept as text; then `scores` are those of the slots that were not good enough
  std::map<SlotType, SpanScore> scores;
};

struct CertifyCounts {
  int64_t spans = 0;      // that were measured
  int64_t recut = 0;      // of these, written again as shorter pieces
  int64_t raw_spans = 0;  // pieces kept as text
  int64_t raw_tokens = 0;
  double worst = 1, sum = 0;  // fidelity of the pieces that stayed slots
  int64_t pieces = 0;         // of these
  double mean() const { return pieces > 0 ? sum / static_cast<double>(pieces) : 0; }
  CertifyCounts& operator+=(const CertifyCounts& other);
};

// Throws UsageError for a min_fidelity outside 0..1 or a negative number of halvings.
void check_certify(const std::string& owner, const CertifyOptions& options);

// What `slots` (one per span, from compressor.compress(spans)) become: a list of pieces for each span. A piece is kept
// as text when its score is too low and it may not be cut any more, or when its halves would take at least as many
// positions as their text does. Throws Interrupted between spans.
std::vector<std::vector<CertifiedPiece>> certify_spans(const Compressor& compressor, const Tokenizer& tokenizer,
                                                       std::span<const std::vector<TokenId>> spans,
                                                       std::span<const SpanSlots> slots, const CertifyOptions& options,
                                                       CertifyCounts& counts);

// "certified 12 spans: fidelity 0.97 on average, 0.91 at worst; 2 spans were cut, 1 piece (256 tokens) is kept as text"
std::string certify_text(const CertifyCounts& counts);

}  // namespace steno
