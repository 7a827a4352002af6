#include "cli/train_progress.h"

#include <spdlog/spdlog.h>

#include <map>

#include "cli/text.h"
#include "io/shown.h"

namespace steno {

std::string progress_text(int64_t step, int64_t steps, const Scalars& values) {
  std::string loss, parts;
  std::map<std::string, double> others;
  bool held_out = false;
  for (const auto& [name, value] : values) {
    const size_t slash = name.find('/');
    if (slash == std::string::npos) {
      others[name] = value;
      continue;
    }
    held_out |= name.starts_with("valid/");
    if (name.ends_with("/loss"))
      loss = fmt::format("{:.4g}", value);
    else
      parts += fmt::format("{}{} {:.4g}", parts.empty() ? "" : ", ", name.substr(slash + 1), value);
  }
  if (loss.empty()) loss = "of no token";
  if (held_out) return fmt::format("step {}: held-out loss {} ({})", count_text(step), loss, parts);
  std::string line = fmt::format("step {} of {}: loss {}", count_text(step), count_text(steps), loss);
  if (!parts.empty()) line += fmt::format(" ({})", parts);
  const auto add = [&](const char* name, const auto& text) {
    if (const auto found = others.find(name); found != others.end()) line += ", " + text(found->second);
  };
  add("lr", [](double v) { return fmt::format("lr {:.2e}", v); });
  add("grad_norm", [](double v) { return fmt::format("gradient {:.3g}", v); });
  add("tokens_per_s", [](double v) { return count_text(static_cast<int64_t>(v)) + " tokens/s"; });
  add("rss_bytes", [](double v) { return bytes_text(static_cast<int64_t>(v)); });
  if (others.contains("skipped") && others["skipped"] > 0)
    line += fmt::format(", {} left out", plural(static_cast<int64_t>(others["skipped"]), "step"));
  if (others.contains("empty") && others["empty"] > 0)
    line += fmt::format(", {} with nothing to learn", plural(static_cast<int64_t>(others["empty"]), "step"));
  if (step < steps) add("left_s", [](double v) { return seconds_text(v) + " left"; });
  return line;
}

void TrainProgress::scalars(int64_t step, const Scalars& values) {
  spdlog::info("{}", progress_text(step, steps_, values));
}

void TrainProgress::text(int64_t step, const std::string& name, const std::string& text) {
  spdlog::info("step {}: {}: {}", count_text(step), name, shown(text));
}

void TrainProgress::sample(int64_t step, int64_t index, const TrainingSample& sample) {
  spdlog::info("step {}: sample {}: of \"{}\" it makes \"{}\"", count_text(step), index, shown(sample.source),
               shown(sample.output));
}

}  // namespace steno
