// Crosses the items of a task with arms and makes the summary of what came out.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "eval/arm.h"
#include "eval/run_directory.h"
#include "eval/task.h"

namespace steno {

struct RunProgress {
  const std::string& arm;
  int64_t items_done, items_total;    // over all arms
  int64_t tokens_done, tokens_total;  // of this call: what was there before is not counted
};

std::vector<std::string> item_ids(const TaskRun& run);

// Does what `directory` does not have yet, arm by arm. Throws Interrupted after Ctrl-C, with all that is done kept;
// errors of an item name arm and item.
void run_items(TaskRun& run, const std::vector<Arm>& arms, RunDirectory& directory,
               const std::function<void(const RunProgress&)>& progress = {});

// summary.json over the lines that are there. Arms without lines have n = 0 and no metrics. `controls`: adds
// "memory_score" = (arm - closed-book) / (full-context - closed-book) of the headline's scores, paired by item, with a
// bootstrap over items; left out where full context is no better than none, which leaves nothing to divide by.
Json summarise(const TaskRun& run, const std::vector<Arm>& arms, const RunDirectory& directory);

// The summary as a table for people.
std::string summary_text(const Json& summary);

}  // namespace steno
