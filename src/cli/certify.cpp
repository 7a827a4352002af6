#include "cli/certify.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"
#include "cli/text.h"

namespace steno {
namespace {

SpanSlots rounded(const SpanSlots& slots, SlotType type) {
  SpanSlots result = slots;
  for (auto& [name, tensor] : result.tensors)
    if (tensor.is_floating_point()) tensor = round_slots(tensor, type);
  return result;
}

struct Piece {
  size_t span;
  int64_t begin, end;
  SpanSlots slots;
};

}  // namespace

double fidelity_of(const SpanScore& score) { return 1 - score.edit_distance.value_or(1); }

CertifyCounts& CertifyCounts::operator+=(const CertifyCounts& other) {
  spans += other.spans, recut += other.recut, raw_spans += other.raw_spans, raw_tokens += other.raw_tokens;
  worst = std::min(worst, other.worst), sum += other.sum, pieces += other.pieces;
  return *this;
}

void check_certify(const std::string& owner, const CertifyOptions& options) {
  if (options.min_fidelity && !(*options.min_fidelity >= 0 && *options.min_fidelity <= 1))
    throw UsageError("[{}] --min-fidelity is a share between 0 and 1, not {}", owner, *options.min_fidelity);
  if (options.halvings < 0) throw UsageError("[{}] a span cannot be halved {} times", owner, options.halvings);
}

std::vector<std::vector<CertifiedPiece>> certify_spans(const Compressor& compressor, const Tokenizer& tokenizer,
                                                       std::span<const std::vector<TokenId>> spans,
                                                       std::span<const SpanSlots> slots, const CertifyOptions& options,
                                                       CertifyCounts& counts) {
  TORCH_CHECK(spans.size() == slots.size(), "slots for every span");
  std::vector<SlotType> types = {options.stored};
  for (const SlotType type : options.also)
    if (std::find(types.begin(), types.end(), type) == types.end()) types.push_back(type);

  std::vector<std::vector<CertifiedPiece>> results(spans.size());
  std::vector<bool> cut(spans.size(), false);
  std::vector<Piece> open;
  for (size_t i = 0; i < spans.size(); ++i) open.push_back({i, 0, static_cast<int64_t>(spans[i].size()), slots[i]});
  const auto tokens_of = [&](const Piece& piece) {
    return std::vector<TokenId>(spans[piece.span].begin() + piece.begin, spans[piece.span].begin() + piece.end);
  };
  for (int64_t halvings = 0; !open.empty(); ++halvings) {
    std::vector<std::vector<TokenId>> sources;
    for (const Piece& piece : open) sources.push_back(tokens_of(piece));
    std::vector<std::map<SlotType, SpanScore>> scores(open.size());
    for (const SlotType type : types) {
      std::vector<SpanSlots> stored;
      for (const Piece& piece : open) stored.push_back(rounded(piece.slots, type));
      const auto written = score_reconstructions(compressor, tokenizer, stored, sources);
      for (size_t i = 0; i < open.size(); ++i) scores[i][type] = written[i].score;
    }
    std::vector<Piece> halves;
    for (size_t i = 0; i < open.size(); ++i) {
      Piece& piece = open[i];
      const int64_t tokens = piece.end - piece.begin;
      const double fidelity = fidelity_of(scores[i].at(options.stored));
      const bool good = !options.min_fidelity || fidelity >= *options.min_fidelity;
      // A half of t tokens and no fewer slots would cost what its text costs.
      const bool may_cut = halvings < options.halvings && tokens / 2 > compressor.slots_per_span();
      if (!good && may_cut) {
        cut[piece.span] = true;
        const int64_t middle = piece.begin + (tokens + 1) / 2;
        halves.push_back({piece.span, piece.begin, middle, {}});
        halves.push_back({piece.span, middle, piece.end, {}});
        continue;
      }
      if (good) {
        counts.worst = std::min(counts.worst, fidelity);
        counts.sum += fidelity;
        ++counts.pieces;
      } else {
        ++counts.raw_spans;
        counts.raw_tokens += tokens;
      }
      results[piece.span].push_back(
          {piece.begin, piece.end, good ? std::move(piece.slots) : SpanSlots{}, !good, std::move(scores[i])});
    }
    std::vector<std::vector<TokenId>> texts;
    for (const Piece& half : halves) texts.push_back(tokens_of(half));
    if (!texts.empty()) {
      std::vector<SpanSlots> written = compressor.compress(texts);
      for (size_t i = 0; i < halves.size(); ++i) halves[i].slots = std::move(written[i]);
    }
    open = std::move(halves);
  }
  for (auto& pieces : results)
    std::sort(pieces.begin(), pieces.end(),
              [](const CertifiedPiece& a, const CertifiedPiece& b) { return a.begin < b.begin; });
  counts.spans += static_cast<int64_t>(spans.size());
  counts.recut += std::count(cut.begin(), cut.end(), true);
  return results;
}

std::string certify_text(const CertifyCounts& counts) {
  std::string text = fmt::format("certified {}", plural(counts.spans, "span"));
  if (counts.pieces > 0)
    text += fmt::format(": fidelity {:.3f} on average, {:.3f} at worst", counts.mean(), counts.worst);
  if (counts.recut > 0)
    text += fmt::format("; {} cut into shorter ones for --min-fidelity", plural(counts.recut, "span"));
  if (counts.raw_spans > 0)
    text +=
        fmt::format("; {} ({}) kept as text", plural(counts.raw_spans, "piece"), plural(counts.raw_tokens, "token"));
  return text;
}

}  // namespace steno
