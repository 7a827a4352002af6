// What `steno eval` can measure. A task is a file in tasks/ and a line in registry.cpp:
//
//   struct PasskeyParams {
//     std::string length = "1024,2048"; ...
//     template <class F> void visit(F&& f) { f("length", length, "lengths in tokens, comma-separated"); ... }
//   };
//   class PasskeyRun : public TaskRun { ... };
//   class Passkey : public Task { ... };
//   const Task* passkey_task() { static const Passkey task; return &task; }
//
// The harness crosses items with arms, writes one line per pair, resumes, and makes the summary.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/fields.h"
#include "eval/arm.h"
#include "eval/data.h"
#include "eval/metric.h"
#include "model/loader.h"

namespace steno {

struct Item {
  std::string id;  // stable over runs of the same settings, unique in the task: "length=4096/depth=50/trial=0"
  Json cell = Json::object();  // what its figures are grouped by: {"length": 4096, "depth": 50}
  int64_t tokens = 0;          // about how many tokens it costs to read and write; for the time that is left
};

// Tokens of the present item done so far.
using ItemProgress = std::function<void(int64_t tokens)>;

// A task whose items are known. Used by one thread.
class TaskRun {
 public:
  virtual ~TaskRun() = default;
  // Always in the same order, and the same for the same settings, seed and data.
  virtual const std::vector<Item>& items() const = 0;
  // Does one item. Returns the keys of its line besides "arm", "item" and "cell": "scores", "prediction", ... (the
  // README lists them), or {"skipped": "why"} for an item that cannot be done with this arm; it is counted, not scored.
  // Items come in order, all of one arm before the next arm; after a resume with gaps. Throws Interrupted (nothing is
  // written), Error.
  virtual Json run(size_t item, const Arm& arm, const ItemProgress& progress) = 0;
  // For run.json: everything that the scores depend on and that is not named elsewhere there (prompt template id, max
  // new tokens, stop texts, metric settings and signatures).
  virtual Json settings() const = 0;
  // The figure that tables show first; a name that metrics() returns.
  virtual std::string headline() const = 0;

  // Figures over lines of one arm; never called with none. Default: score_metrics().
  virtual Metrics metrics(const Lines& lines) const { return score_metrics(lines); }
  // Groups with their own figures. Default: metrics() of the lines with equal "cell", in the order of first appearance;
  // empty cells make none.
  struct Cell {
    Json cell;
    int64_t n = 0;
    Metrics metrics;
  };
  virtual std::vector<Cell> cells(const Lines& lines) const;
};

struct TaskInput {
  std::shared_ptr<const Model> model;
  DataFiles& data;  // alive as long as the run
  FieldValues params;
  int64_t limit = 0;  // 0: no limit. Records of the data file; tasks that make their items: items per cell
  uint64_t seed = 0;
};

class Task {
 public:
  virtual ~Task() = default;
  virtual std::string name() const = 0;
  virtual std::string summary() const = 0;  // one line
  virtual std::vector<FieldInfo> parameters() const = 0;
  virtual std::vector<DataNeed> data() const { return {}; }
  // True: has closed-book and full-context controls, which run unless --no-controls is given.
  virtual bool has_controls() const { return false; }
  // Throws UsageError (parameters), InputError (data).
  virtual std::unique_ptr<TaskRun> prepare(const TaskInput& input) const = 0;
};

// Every task, in the order in which they are listed to people.
const std::vector<const Task*>& tasks();
// Throws UsageError that lists the names.
const Task& task_named(const std::string& name);

// "1024,2048" -> numbers. Throws UsageError; `owner` and `name` begin its message.
std::vector<int64_t> parse_int_list(const std::string& owner, const std::string& name, const std::string& text);

}  // namespace steno
