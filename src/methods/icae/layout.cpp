#include "methods/icae/layout.h"

#include <algorithm>

namespace steno::icae {
namespace {

void add(Layout& layout, int64_t id, bool supervised) {
  layout.ids.push_back(id);
  layout.labels.push_back(supervised ? id : kIgnored);
}

Layout with_spans(const char* objective, const Spans& spans) {
  Layout layout;
  layout.objective = objective;
  layout.spans = spans;
  for (const auto& span : spans) layout.text_tokens += static_cast<int64_t>(span.size());
  return layout;
}

void add_slots(Layout& layout, const IdPlan& plan) {
  const auto slots = static_cast<int64_t>(layout.spans.size()) * plan.k;
  for (int64_t i = 0; i < slots; ++i) add(layout, plan.slot(), false);
}

}  // namespace

int64_t Layout::supervised() const {
  return std::count_if(labels.begin(), labels.end(), [](int64_t label) { return label != kIgnored; });
}

Layout autoencoding(const IdPlan& plan, const Settings& settings, const Spans& spans) {
  Layout layout = with_spans("ae", spans);
  add_slots(layout, plan);
  add(layout, plan.ae(), false);
  for (const auto& span : spans)
    for (const TokenId id : span) add(layout, id, true);
  add(layout, settings.eos, true);
  return layout;
}

Layout continuation(const IdPlan& plan, const Settings& settings, const Spans& spans, std::span<const TokenId> next,
                    int64_t leave) {
  Layout layout = with_spans("lm", spans);
  add_slots(layout, plan);
  if (settings.lm_token) add(layout, plan.lm(), false);
  for (size_t i = 0; i < next.size(); ++i) add(layout, next[i], static_cast<int64_t>(i) >= leave);
  return layout;
}

Layout instruction(const IdPlan& plan, const Settings& settings, const Spans& spans, std::span<const TokenId> prompt,
                   std::span<const TokenId> answer) {
  Layout layout = with_spans("ft", spans);
  for (const TokenId id : ids_of(settings.before)) add(layout, id, false);
  add_slots(layout, plan);
  add(layout, plan.ft(), false);
  for (const TokenId id : prompt) add(layout, id, false);
  for (const TokenId id : ids_of(settings.after)) add(layout, id, false);
  for (const TokenId id : answer) add(layout, id, true);
  add(layout, settings.answer_end, true);
  return layout;
}

Draw draw_text(std::span<const TokenId> document, const SamplerOptions& options, Random& random) {
  // The order of the draws is fixed: what one option changes leaves the others' numbers alone.
  const bool multi = random.uniform() < options.multi_span_share;
  const bool wants_next = random.uniform() < options.lm_ratio;
  const double place = random.uniform();
  const auto below = [&](int64_t n) { return std::min(static_cast<int64_t>(place * static_cast<double>(n)), n - 1); };

  Draw draw;
  const auto tokens = static_cast<int64_t>(document.size());
  if (tokens == 0) return draw;
  const int64_t window = multi ? options.multi_window : options.window;
  const int64_t room = window - (options.bos >= 0 ? 1 : 0);
  const auto read = [&](int64_t begin, int64_t count) {
    if (options.bos >= 0) draw.read.push_back(static_cast<TokenId>(options.bos));
    const auto part = document.subspan(static_cast<size_t>(begin), static_cast<size_t>(count));
    draw.read.insert(draw.read.end(), part.begin(), part.end());
  };
  if (tokens > room) {
    const int64_t begin = below(tokens - room + 1);
    read(begin, room);
    const int64_t rest = std::min(tokens - begin - room, window);
    if (wants_next && rest > options.min_tokens_for_lm) {
      const auto next = document.subspan(static_cast<size_t>(begin + room), static_cast<size_t>(rest));
      draw.next.assign(next.begin(), next.end());
    }
    return draw;
  }
  // The cut leaves at least one token before it; nothing may be left after it.
  const int64_t cut = wants_next ? 1 + below(tokens) : tokens;
  if (tokens - cut <= options.min_tokens_for_lm) {
    // Autoencoding over what would have been continued, as in the source: the prefix alone.
    read(0, cut);
    return draw;
  }
  read(0, cut);
  draw.next.assign(document.begin() + cut, document.end());
  return draw;
}

}  // namespace steno::icae
