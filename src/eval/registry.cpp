// The list of tasks: one line each.
#include <fmt/ranges.h>

#include "eval/task.h"

namespace steno {

const Task* ppl_task();
const Task* qa_task();
const Task* longqa_task();
const Task* efficiency_task();
const Task* passkey_task();
const Task* needle_task();
const Task* multi_needle_task();
const Task* ruler_task();
const Task* dialogue_task();
const Task* reconstruct_task();

const std::vector<const Task*>& tasks() {
  static const std::vector<const Task*> all = {
      ppl_task(),
      qa_task(),
      longqa_task(),
      passkey_task(),
      needle_task(),
      multi_needle_task(),
      dialogue_task(),
      ruler_task(),
      reconstruct_task(),
      efficiency_task(),
  };
  return all;
}

const Task& task_named(const std::string& name) {
  std::vector<std::string> names;
  for (const Task* task : tasks()) {
    if (task->name() == name) return *task;
    names.push_back(task->name());
  }
  throw UsageError("[eval] there is no task '{}'; there are: {}", name, fmt::join(names, ", "));
}

}  // namespace steno
