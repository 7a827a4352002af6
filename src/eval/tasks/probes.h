// The memory probes of `dialogue`.
#pragma once
#include <memory>
#include <string>

#include "eval/task.h"

namespace steno {

struct ProbeParams {
  std::string probes = "recall,update,multi,negative,attribution,response,utterance";
  std::string ages = "1,2,3,5,10,20,50,100,200";
  int64_t other_age = 10;
  std::string facts = "1,2,4,8";
  int64_t trials = 100;
  bool answer_prefix = true;

  template <class F>
  void visit(F&& f) {
    f("probes", probes, "probes: recall, update, multi, negative, attribution, response, utterance, comma-separated");
    f("ages", ages, "probes: filler turns before the question, for recall and response, comma-separated");
    f("other_age", other_age, "probes: the same for the other kinds");
    f("facts", facts, "probes: how many facts are stated, for multi, comma-separated");
    f("trials", trials, "probes: facts per cell");
    f("answer_prefix", answer_prefix,
      "probes: answers to questions about facts begin with 'Your ... is' (never for negative)");
  }
};

// Throws UsageError, InputError.
std::unique_ptr<TaskRun> probe_run(const TaskInput& input, const ProbeParams& params);

}  // namespace steno
