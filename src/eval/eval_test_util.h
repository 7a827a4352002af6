// For tests only: a task run on a tiny model, from data files to the summary.
#pragma once
#include <filesystem>
#include <string>

#include "base/files_test_util.h"
#include "base/random.h"
#include "eval/runner.h"

namespace steno::test {

inline std::filesystem::path eval_data(const std::string& name) {
  return std::filesystem::path(STENO_SOURCE_DIR) / "tests/data/eval" / name;
}

inline std::shared_ptr<const Model> tiny_model(const std::string& name) {
  const auto folder = std::filesystem::path(STENO_SOURCE_DIR) / "tests/data/tiny_models" / name;
  return std::make_shared<const Model>(load_model(folder, {.dtype = at::kFloat}));
}

inline std::vector<TokenId> some_ids(const Model& model, int64_t count, uint64_t seed) {
  Random random(seed);
  std::vector<TokenId> ids(static_cast<size_t>(count));
  for (TokenId& id : ids) id = static_cast<TokenId>(random.below(static_cast<uint64_t>(model.decoder->config().vocab)));
  return ids;
}

struct Bench {
  Bench(const std::string& task, const std::filesystem::path& file, FieldValues params, ArmChoice choice,
        const std::string& model_name = "llama_tied")
      : model(tiny_model(model_name)),
        data(task, task_named(task).data(), {{"data", file}}, {}),
        arms(make_arms(choice, model->decoder)),
        run(task_named(task).prepare({model, data, std::move(params), 0, 0})) {}

  Json record() const {
    Json list = Json::array();
    for (const Arm& arm : arms) list.push_back(arm_json(arm, *model));
    return {{"settings", run->settings()}, {"arms", list}};
  }

  std::shared_ptr<const Model> model;
  DataFiles data;
  std::vector<Arm> arms;
  std::unique_ptr<TaskRun> run;
};

inline Json without_times(Json line) {
  line.erase("time");
  return line;
}

}  // namespace steno::test
