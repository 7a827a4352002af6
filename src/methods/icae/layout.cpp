#include "methods/icae/layout.h"

#include <algorithm>

namespace steno::icae {
namespace {

// Appends to a layout in the order of reading.
class Writer {
 public:
  Writer(const char* objective, const IdPlan& plan, const Settings& settings, const Spans& spans)
      : plan_(plan), cursor_(settings.position_layout(), plan.k) {
    layout_.objective = objective;
    layout_.spans = spans;
    for (const auto& span : spans) layout_.text_tokens += static_cast<int64_t>(span.size());
  }

  void slots() {
    for (const auto& span : layout_.spans) {
      for (int64_t j = 0; j < plan_.k; ++j) put(plan_.slot(), false);
      cursor_.add_span(static_cast<int64_t>(span.size()), layout_.positions);
    }
  }
  void reconstruct() {
    put(plan_.ae(), false);
    cursor_.add_reconstruct(layout_.positions);
  }
  void task(int64_t id) {
    put(id, false);
    cursor_.add_task(layout_.positions);
  }
  void token(int64_t id, bool supervised) {
    put(id, supervised);
    cursor_.add_tokens(1, layout_.positions);
  }
  void tokens(std::span<const TokenId> ids, bool supervised) {
    for (const TokenId id : ids) token(id, supervised);
  }
  Layout take() { return std::move(layout_); }

 private:
  void put(int64_t id, bool supervised) {
    layout_.ids.push_back(id);
    layout_.labels.push_back(supervised ? id : kIgnored);
  }

  const IdPlan& plan_;
  PositionCursor cursor_;
  Layout layout_;
};

}  // namespace

int64_t Layout::supervised() const {
  return std::count_if(labels.begin(), labels.end(), [](int64_t label) { return label != kIgnored; });
}

Layout autoencoding(const IdPlan& plan, const Settings& settings, const Spans& spans) {
  Writer writer("ae", plan, settings, spans);
  writer.slots();
  writer.reconstruct();
  for (const auto& span : spans) writer.tokens(span, true);
  writer.token(settings.eos, true);
  return writer.take();
}

Layout continuation(const IdPlan& plan, const Settings& settings, const Spans& spans, std::span<const TokenId> next,
                    int64_t leave) {
  Writer writer("lm", plan, settings, spans);
  writer.slots();
  if (settings.lm_token) writer.task(plan.lm());
  for (size_t i = 0; i < next.size(); ++i) writer.token(next[i], static_cast<int64_t>(i) >= leave);
  return writer.take();
}

Layout instruction(const IdPlan& plan, const Settings& settings, const Spans& spans, std::span<const TokenId> prompt,
                   std::span<const TokenId> answer) {
  Writer writer("ft", plan, settings, spans);
  writer.tokens(ids_of(settings.before), false);
  writer.slots();
  writer.task(plan.ft());
  writer.tokens(prompt, false);
  writer.tokens(ids_of(settings.after), false);
  writer.tokens(answer, true);
  writer.token(settings.answer_end, true);
  return writer.take();
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
