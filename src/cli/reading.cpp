#include "cli/reading.h"

#include <spdlog/spdlog.h>

#include "base/error.h"
#include "base/interrupt.h"
#include "cli/progress.h"
#include "cli/text.h"

namespace steno {

MemoryChoice choose_memory(const std::string& owner, const MethodFlags& flags) {
  const StreamOptions options = stream_options(owner, flags);
  const Method& method = method_named(flags.method);
  if (flags.budget && !method.has_budget())
    spdlog::warn("the method {} keeps everything; --budget {} has no effect", method.name(), *flags.budget);
  return {&method, options};
}

void warn_about_span(const MemoryChoice& memory, const ModelConfig& model, int64_t tokens) {
  const int64_t span = memory.method->expected_slots(memory.options, tokens);
  if (model.max_positions <= 0 || span <= model.max_positions) return;
  spdlog::warn(
      "{} keeps {} tokens, but this model was trained on {} positions; expect poor answers, or take a method "
      "with a smaller --budget",
      memory.method->name(), count_text(span), count_text(model.max_positions));
}

std::string interrupted_text(int64_t done, int64_t total) {
  return fmt::format("interrupted: {} of {} read ({:.0f}%), nothing answered", count_text(done), plural(total, "token"),
                     total > 0 ? 100.0 * static_cast<double>(done) / static_cast<double>(total) : 0);
}

double read_tokens(Stream& stream, std::span<const TokenId> ids, bool show_progress) {
  const Stopwatch clock;
  Progress progress("reading", static_cast<int64_t>(ids.size()), show_progress);
  const int64_t before = stream.tokens_seen();
  try {
    // No chunk has begun: the same message whenever the signal came.
    check_interrupt();
    stream.feed(ids, LogitRows::none, [&](int64_t done) { progress.update(done); });
  } catch (const Interrupted&) {
    progress.clear();
    throw Interrupted("{}", interrupted_text(stream.tokens_seen() - before, static_cast<int64_t>(ids.size())));
  }
  return clock.seconds();
}

}  // namespace steno
