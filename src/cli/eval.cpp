// steno eval: one task, all methods and budgets asked for, one folder of results.
#include <ATen/Parallel.h>
#include <fmt/chrono.h>
#include <spdlog/spdlog.h>

#include <ctime>

#include "base/error.h"
#include "cli/model_path.h"
#include "cli/progress.h"
#include "cli/text.h"
#include "cli/verb.h"
#include "eval/runner.h"
#include "model/identity.h"

namespace steno {
namespace {

// "key=value" into `values`; `flag` begins the message.
void put_pair(FieldValues& values, const std::string& flag, const std::string& pair) {
  const size_t equals = pair.find('=');
  if (equals == std::string::npos || equals == 0)
    throw UsageError("[eval] {} '{}' is not of the form key=value", flag, pair);
  if (!values.emplace(pair.substr(0, equals), pair.substr(equals + 1)).second)
    throw UsageError("[eval] {} {} is given twice", flag, pair.substr(0, equals));
}

// Progress for a terminal; where standard error is a file, a line a minute.
class EvalProgress {
 public:
  explicit EvalProgress(bool wanted) : wanted_(wanted) {}

  void update(const RunProgress& p) {
    if (!bar_) bar_.emplace("", p.tokens_total, wanted_);
    bar_->rename(fmt::format("{} {}/{}", p.arm, p.items_done, p.items_total));
    bar_->update(p.tokens_done);
    if (!wanted_ || isatty(STDERR_FILENO) || clock_.seconds() < next_line_) return;
    next_line_ += kSecondsALine;
    const double left = clock_.seconds() * static_cast<double>(p.tokens_total - p.tokens_done) /
                        static_cast<double>(std::max<int64_t>(p.tokens_done, 1));
    spdlog::info("{}: {} of {} items done, {} left", p.arm, p.items_done, p.items_total, seconds_text(left));
  }
  void clear() {
    if (bar_) bar_->clear();
  }

 private:
  static constexpr double kSecondsALine = 60;
  bool wanted_;
  std::optional<Progress> bar_;
  Stopwatch clock_;
  double next_line_ = kSecondsALine;
};

class Eval : public Verb {
 public:
  explicit Eval(CLI::App& root) : Verb(root, "eval", "Measure what methods keep: one task, several memories") {
    app_->add_option("task", task_, "what to measure; --list names the tasks");
    app_->add_flag("--list", list_, "list the tasks, their parameters and their data");
    constexpr const char* kMemory = "Memory";
    app_->add_option("--method", methods_, "methods, separated by commas")->delimiter(',')->group(kMemory);
    app_->add_option("--budget", budgets_, "slots per layer, separated by commas: each method is run with each")
        ->delimiter(',')
        ->group(kMemory);
    app_->add_option("--chunk", chunk_, "tokens read at once; without it chosen by the method")->group(kMemory);
    app_->add_option("--params", params_, "a parameter of a method, as method:key=value; may be repeated")
        ->group(kMemory)
        ->allow_extra_args(false);
    app_->add_flag("--query-aware", query_aware_, "the memory may look at the question while the context is read")
        ->group(kMemory);
    constexpr const char* kTask = "Task";
    app_->add_option("--data", data_, "FILE, or NAME=FILE where a task reads several; may be repeated")
        ->group(kTask)
        ->allow_extra_args(false)
        ->type_name("FILE");
    app_->add_option("--limit", limit_, "the first so many records of the data")->group(kTask);
    app_->add_flag("--spread", spread_, "--limit takes records from all over the file instead of the first")
        ->group(kTask);
    app_->add_flag("--skip-bad", skip_bad_, "leave bad records out, and count them, instead of refusing the data")
        ->group(kTask);
    app_->add_option("--set", set_, "a parameter of the task, as key=value; may be repeated")
        ->group(kTask)
        ->allow_extra_args(false);
    app_->add_option("--length", length_, "the same as --set length=")->group(kTask);
    app_->add_option("--depth", depth_, "the same as --set depth=")->group(kTask);
    app_->add_flag("--no-controls", no_controls_,
                   "without the controls (no context, full context) of tasks that have them")
        ->group(kTask);
    app_->add_option("--out", out_, "folder for the results; a run that was stopped goes on where it was")
        ->group(kTask)
        ->type_name("DIR");
  }

  void run(StandardOutput& out) override {
    if (list_) return list(out);
    const Task& task = check();
    const ArmChoice choice = arm_choice(task);
    const FieldValues settings = task_settings();
    DataFiles data("[eval] " + task.name(), task.data(), data_files(task), {{limit_.value_or(0), skip_bad_}, spread_});
    const auto model = std::make_shared<const Model>(load_model(find_model(common_.model), load_options(common_)));
    const std::vector<Arm> arms = make_arms(choice, model->decoder);
    const auto run = task.prepare({model, data, settings, limit_.value_or(0), common_.seed});
    for (const DataSource& source : data.sources())
      if (source.skipped > 0)
        spdlog::warn("{}: {} left out; the first: {}", source.name, plural(source.skipped, "bad record"),
                     source.bad.front());
    if (run->items().empty()) throw InputError("[eval] {}: there is nothing to do: no items", task.name());

    RunDirectory directory(out_, run_record(task, *run, *model, arms, data), item_ids(*run));
    if (directory.found() > 0 || directory.was_torn())
      spdlog::info("{}: goes on after {}{}", out_, plural(static_cast<int64_t>(directory.found()), "item"),
                   directory.was_torn() ? "; a half-written line was cut off" : "");
    EvalProgress progress(!common_.quiet);
    try {
      run_items(*run, arms, directory, [&](const RunProgress& p) { progress.update(p); });
    } catch (...) {
      progress.clear();
      throw;
    }
    progress.clear();
    const Json summary = summarise(*run, arms, directory);
    directory.write_summary(summary);
    common_.json ? out.write_json(summary) : out.write(summary_text(summary));
  }

 private:
  const Task& check() const {
    if (task_.empty()) throw UsageError("[eval] name a task ('steno eval --list' shows them)");
    const Task& task = task_named(task_);
    if (limit_ && *limit_ < 1) throw UsageError("[eval] --limit must be at least 1, not {}", *limit_);
    if (spread_ && !limit_) throw UsageError("[eval] --spread needs --limit");
    if (chunk_ && *chunk_ < 1) throw UsageError("[eval] --chunk must be at least 1 token, not {}", *chunk_);
    for (const int64_t budget : budgets_)
      if (budget < 1) throw UsageError("[eval] --budget must be at least 1 slot, not {}", budget);
    return task;
  }

  ArmChoice arm_choice(const Task& task) const {
    ArmChoice choice;
    choice.methods = methods_.empty() ? std::vector<std::string>{"dense"} : methods_;
    choice.budgets = budgets_;
    choice.chunk_size = chunk_.value_or(0);
    choice.query_aware = query_aware_;
    choice.controls = task.has_controls() && !no_controls_;
    for (const std::string& param : params_) {
      const size_t colon = param.find(':');
      if (colon == std::string::npos || colon == 0)
        throw UsageError("[eval] --params '{}' is not of the form method:key=value", param);
      put_pair(choice.params[param.substr(0, colon)], "--params", param.substr(colon + 1));
    }
    for (const std::string& name : choice.methods) method_named(name);
    return choice;
  }

  FieldValues task_settings() const {
    FieldValues values;
    for (const std::string& pair : set_) put_pair(values, "--set", pair);
    if (!length_.empty()) put_pair(values, "--length", "length=" + length_);
    if (!depth_.empty()) put_pair(values, "--depth", "depth=" + depth_);
    return values;
  }

  std::map<std::string, std::filesystem::path> data_files(const Task& task) const {
    const std::vector<DataNeed> needs = task.data();
    std::map<std::string, std::filesystem::path> files;
    for (const std::string& text : data_) {
      if (needs.empty()) throw UsageError("[eval] {} reads no data; leave --data out", task.name());
      std::string name = needs.front().name, file = text;
      for (const DataNeed& need : needs)
        if (text.starts_with(need.name + "=")) name = need.name, file = text.substr(need.name.size() + 1);
      if (file.empty()) throw UsageError("[eval] --data '{}' names no file", text);
      if (!files.emplace(name, file).second) throw UsageError("[eval] --data {} is given twice", name);
    }
    return files;
  }

  Json run_record(const Task& task, const TaskRun& run, const Model& model, const std::vector<Arm>& arms,
                  const DataFiles& data) const {
    const auto identity = identity_of(model);
    Json sources = Json::array(), arm_list = Json::array();
    for (const DataSource& s : data.sources())
      sources.push_back({{"name", s.name}, {"hash", s.hash}, {"records", s.records}, {"skipped", s.skipped}});
    for (const Arm& arm : arms) arm_list.push_back(arm_json(arm, model));
    return {{"format", "steno.eval"},
            {"format_version", 1},
            {"steno", STENO_VERSION},
            {"task", task.name()},
            {"created", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)))},
            {"model",
             {{"name", model.name},
              {"file", model.path.filename().string()},
              {"hash", identity.at("model")},
              {"weights", model.weight_format}}},
            {"tokenizer", {{"hash", identity.at("tokenizer")}}},
            {"data", sources},
            {"seed", common_.seed},
            {"limit", limit_ ? Json(*limit_) : Json()},
            {"spread", spread_},
            {"threads", at::get_num_threads()},
            {"device", common_.device},
            {"dtype", common_.dtype},
            {"settings", run.settings()},
            {"arms", arm_list}};
  }

  void list(StandardOutput& out) const {
    Json all = Json::array();
    std::string text;
    for (const Task* task : tasks()) {
      Json parameters = Json::array(), data = Json::array();
      text += fmt::format("{}: {}\n", task->name(), task->summary());
      for (const FieldInfo& field : task->parameters()) {
        parameters.push_back(
            {{"name", field.name}, {"type", field.type}, {"default", field.value}, {"help", field.help}});
        text += fmt::format("    {}={}  {}\n", field.name, field.value, field.help);
      }
      for (const DataNeed& need : task->data()) {
        data.push_back({{"name", need.name}, {"file", need.default_file}, {"what", need.what}});
        text += fmt::format("    reads {}: {} ($STENO_DATA/{})\n", need.name, need.what, need.default_file);
      }
      all.push_back({{"name", task->name()}, {"summary", task->summary()}, {"parameters", parameters}, {"data", data}});
    }
    common_.json ? out.write_json({{"tasks", all}}) : out.write(text);
  }

  std::string task_, out_, length_, depth_;
  std::vector<std::string> methods_, params_, data_, set_;
  std::vector<int64_t> budgets_;
  std::optional<int64_t> chunk_, limit_;
  bool list_ = false, query_aware_ = false, skip_bad_ = false, spread_ = false, no_controls_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_eval(CLI::App& root) { return std::make_unique<Eval>(root); }

}  // namespace steno
