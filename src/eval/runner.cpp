#include "eval/runner.h"

#include "base/error.h"
#include "base/interrupt.h"

namespace steno {
namespace {

[[noreturn]] void stop(const RunDirectory& directory, int64_t done, int64_t total) {
  if (directory.folder().empty())
    throw Interrupted("interrupted: {} of {} items done; without --out nothing is kept", done, total);
  throw Interrupted("interrupted: {} of {} items done and kept in {}; the same command goes on from there", done, total,
                    directory.folder().string());
}

}  // namespace

std::vector<std::string> item_ids(const TaskRun& run) {
  std::vector<std::string> ids;
  for (const Item& item : run.items()) ids.push_back(item.id);
  return ids;
}

void run_items(TaskRun& run, const std::vector<Arm>& arms, RunDirectory& directory,
               const std::function<void(const RunProgress&)>& progress) {
  const std::vector<Item>& items = run.items();
  const auto total = static_cast<int64_t>(items.size() * arms.size());
  int64_t tokens_total = 0, tokens_done = 0;
  for (const Arm& arm : arms)
    for (const Item& item : items)
      if (!directory.has(arm.id, item.id)) tokens_total += item.tokens;
  for (const Arm& arm : arms) {
    for (size_t i = 0; i < items.size(); ++i) {
      const Item& item = items[i];
      if (directory.has(arm.id, item.id)) continue;
      const auto done = static_cast<int64_t>(directory.size());
      if (interrupted()) stop(directory, done, total);
      const auto report = [&](int64_t tokens) {
        if (progress) progress({arm.id, done, total, tokens_done + std::min(tokens, item.tokens), tokens_total});
      };
      report(0);
      Json line = {{"arm", arm.id}, {"item", item.id}, {"cell", item.cell}};
      try {
        line.update(run.run(i, arm, report));
      } catch (const Interrupted&) {
        stop(directory, done, total);
      } catch (const Error& error) {
        throw Error(error.code(), fmt::format("[eval] {}, {}: {}", arm.id, item.id, error.what()));
      }
      directory.append(std::move(line));
      tokens_done += item.tokens;
    }
  }
}

}  // namespace steno
